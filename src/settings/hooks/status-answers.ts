// What a status of the backend means in place of an answer, as Centrifugo's status_to_code_transforms has it, so that a configuration
// need not be written anew.
import { Type } from "@sinclair/typebox";
import { Shape } from "../../shape";

const ITEMS_MAX = 32;

const closed = { additionalProperties: false };
const Status = Type.Integer({ minimum: 300, maximum: 599 });
const Text = Type.Optional(Type.String({ maxLength: 1_024 }));

/** Codes as the backend itself may use them. */
const Transforms = new Shape(
  Type.Array(
    Type.Union([
      Type.Object(
        {
          status_code: Status,
          to_error: Type.Object(
            {
              code: Type.Integer({ minimum: 400, maximum: 1_999 }),
              message: Text,
              temporary: Type.Optional(Type.Boolean()),
            },
            closed,
          ),
        },
        closed,
      ),
      Type.Object(
        {
          status_code: Status,
          to_disconnect: Type.Object(
            { code: Type.Integer({ minimum: 4_000, maximum: 4_999 }), reason: Text },
            closed,
          ),
        },
        closed,
      ),
    ]),
    { maxItems: ITEMS_MAX },
  ),
);

/** By their statuses, answers as JSON texts. */
export type StatusAnswers = Readonly<Record<number, string>>;

/** The answers in a JSON value, or what is wrong with it. */
export function statusAnswersOf(value: unknown): StatusAnswers | string {
  if (!Transforms.fits(value)) {
    const path = Transforms.problemOf(value)?.path ?? "";
    return `is wrong at ${path || "its beginning"}: a status_code from 300 to 599 comes with to_error, of a code from 400 to 1999, or with to_disconnect, of a code from 4000 to 4999`;
  }
  return Object.fromEntries(
    value.map((item) => {
      const answer =
        "to_error" in item ? { error: item.to_error } : { disconnect: item.to_disconnect };
      return [item.status_code, JSON.stringify(answer)];
    }),
  );
}
