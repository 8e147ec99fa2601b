// The body of POST /publish: one publication or up to 1,000. JSON data is cut out of the text as it stands, since
// JSON.parse would round large integers, and 1.0 would come out as 1.
import type { Static } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { Refusal } from "../../relay/contracts/errors";
import type { PublishCommand } from "../../relay/publishing/acceptance";
import { rawMembers } from "../../relay/text/json";
import { PublishBody } from "../routes/schemas";
import { readJson, wrongShape } from "./body";
import { Refused } from "./refusal";

/** Publications in one body. */
export const BATCH_MAX = 1_000;

const EXAMPLE = '{"topic":"tech","message":"hi"}';

const shape = TypeCompiler.Compile(PublishBody);

/** A publication, or why it is none. */
export type PublishRequest = PublishCommand | Refusal;

/**
 * A reader of such bodies. Rejects with Refused; the items of an array are refused one by one. The key of the
 * Idempotency-Key header is that of the publication; of an array, each item has it together with its place.
 */
export function publishReader(
  bodyBytes: number,
): (request: Request) => Promise<PublishRequest | PublishRequest[]> {
  return async (request) => {
    const { text, value } = await readJson(request, bodyBytes);
    const key = request.headers.get("idempotency-key") ?? undefined;
    if (!Array.isArray(value)) {
      return publishRequest(value, key, () => rawMembers(text, "data")[0]);
    }
    if (value.length > BATCH_MAX) {
      throw new Refused(
        new Refusal("batch_too_large", `A body may have at most ${BATCH_MAX} publications.`),
      );
    }
    let raw: (string | undefined)[] | undefined;
    return value.map((item, place) =>
      publishRequest(item, key && `${key}/${place}`, () => {
        raw ??= rawMembers(text, "data");
        return raw[place];
      }),
    );
  };
}

function publishRequest(
  value: unknown,
  key: string | undefined,
  rawData: () => string | undefined,
): PublishRequest {
  if (!shape.Check(value)) return wrongShape(shape.Errors(value).First(), EXAMPLE);
  const body: Static<typeof PublishBody> = value;
  const data = body.data === undefined ? undefined : rawData();
  if (key === undefined) return data === undefined ? (body as PublishCommand) : { ...body, data };
  return { ...body, data, idempotency_key: body.idempotency_key ?? key };
}
