// The two shapes of a body that need no mapping: that of POST /publish, which is the same for every source, and that of Centrifugo's consumers.
import { type Static, type TObject, Type } from "@sinclair/typebox";
import { Refusal } from "../../relay/contracts/errors";
import type { PublishCommand } from "../../relay/publishing/publisher";
import { withoutNulls } from "../../relay/text/json";
import { Shape } from "../../shape";
import type { RecordText } from "./record-text";

const EXAMPLE = 'Send JSON like {"topic":"orders","data":{"id":1}}, or set a mapping.';

const FIELDS = {
  topic: Type.String(),
  message: Type.Optional(Type.String()),
  data: Type.Optional(Type.Unknown()),
  event: Type.Optional(Type.String()),
  user_id: Type.Optional(Type.Union([Type.Number(), Type.String()])),
  idempotency_key: Type.Optional(Type.String()),
};

// A misspelt user_id must not send to everybody what was for one user.
const bodyShape = new Shape(Type.Object(FIELDS, { additionalProperties: false }));

const Row = Type.Object(FIELDS);
const rowShape = new Shape(Row);

/** What a body of the common shape asks for. In a row, a column that is null counts as missing, and others are allowed beside these. */
export function commonShape(record: RecordText, kind: "body" | "row"): PublishCommand | Refusal {
  const value = kind === "row" ? withoutNulls(record.value) : record.value;
  const shape: Shape<TObject> = kind === "row" ? rowShape : bodyShape;
  if (!shape.fits(value)) return wrongShape(shape, value);
  const { topic, message, data, event, user_id, idempotency_key } = value as Static<typeof Row>;
  const raw = data === undefined ? undefined : record.raw(["data"]);
  return { topic, message, data: raw, event, user_id, idempotency_key };
}

const payload = {
  data: Type.Unknown(),
  idempotency_key: Type.Optional(Type.String()),
  // Not a Record: its pattern for keys skips those with U+2028 in them, whatever their values are.
  tags: Type.Optional(Type.Object({}, { additionalProperties: Type.String() })),
};

const publishShape = new Shape(Type.Object({ channel: Type.String(), ...payload }));

/** More topics than this would make one record a flood. */
const BROADCAST_TOPICS_MAX = 1_000;

const broadcastShape = new Shape(
  Type.Object({
    channels: Type.Array(Type.String(), { minItems: 1, maxItems: BROADCAST_TOPICS_MAX }),
    ...payload,
  }),
);

/** Whether a body is a command for Centrifugo: {"method": "publish", "payload": {…}}. */
export function isCentrifugo(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { method, payload, topic } = value as Record<string, unknown>;
  return typeof method === "string" && payload !== undefined && topic === undefined;
}

/** What a command for Centrifugo asks for: one publication, or with `broadcast` one for each channel. Refuses `invalid_body`. */
export function centrifugoShape(record: RecordText): readonly PublishCommand[] | Refusal {
  const { method, payload } = record.value as { method: string; payload: unknown };
  if (method !== "publish" && method !== "broadcast") {
    return new Refusal("invalid_body", "The method of a record must be publish or broadcast.");
  }
  const shape: Shape<TObject> = method === "publish" ? publishShape : broadcastShape;
  if (!shape.fits(payload)) return wrongShape(shape, payload, "/payload");
  const { channel, channels, idempotency_key, tags } = payload as CentrifugoPayload;
  const command = {
    data: record.raw(["payload", "data"]),
    idempotency_key: idempotency_key || undefined,
    tags: tags && JSON.stringify(tags),
  };
  return (channels ?? [channel ?? ""]).map((topic) => ({ ...command, topic }));
}

interface CentrifugoPayload {
  readonly channel?: string;
  readonly channels?: readonly string[];
  readonly idempotency_key?: string;
  readonly tags?: object;
}

function wrongShape(shape: Shape<TObject>, value: unknown, within = ""): Refusal {
  const error = shape.problemOf(value);
  const place = `${within}${error?.path ?? ""}` || "the body";
  return new Refusal("invalid_body", `${place}: ${error?.message ?? "wrong shape"}. ${EXAMPLE}`);
}
