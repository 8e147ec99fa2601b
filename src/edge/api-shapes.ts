// The shapes of the bodies of POST /api/<method> (shared/centrifuge-protocol.md, 16). Unknown fields are passed over,
// as libraries send what their server knows and we do not.
import { Type } from "@sinclair/typebox";

/** Commands in one batch, and topics in one broadcast. */
export const BATCH_MAX = 1_000;

const Text = Type.Optional(Type.String());
const Flag = Type.Optional(Type.Boolean());
const Whole = Type.Optional(Type.Integer());
const Position = Type.Optional(
  Type.Object({ offset: Type.Optional(Type.Integer({ minimum: 0 })), epoch: Text }),
);

const payload = {
  b64data: Text,
  idempotency_key: Text,
  // Not a Record: its pattern for keys passes over those with U+2028 in them, whatever their values.
  tags: Type.Optional(Type.Object({}, { additionalProperties: Type.String() })),
};
const who = { user: Text, client: Text, session: Text };

export const Nothing = Type.Object({});
export const Channel = Type.Object({ channel: Text });
export const Publish = Type.Object({ channel: Text, ...payload });
export const Broadcast = Type.Object({
  channels: Type.Optional(Type.Array(Type.String(), { maxItems: BATCH_MAX })),
  ...payload,
});
export const Subscribe = Type.Object({
  ...who,
  channel: Text,
  b64info: Text,
  b64data: Text,
  expire_at: Whole,
  recover_since: Position,
});
export const Unsubscribe = Type.Object({ ...who, channel: Text });
export const Disconnect = Type.Object({
  ...who,
  whitelist: Type.Optional(Type.Array(Type.String())),
  disconnect: Type.Optional(Type.Object({ code: Whole, reason: Text })),
});
export const Refresh = Type.Object({ ...who, expired: Flag, expire_at: Whole });
export const History = Type.Object({
  channel: Text,
  limit: Whole,
  since: Position,
  reverse: Flag,
});
export const Channels = Type.Object({ pattern: Text });
export const Batch = Type.Object({
  commands: Type.Array(Type.Unknown(), { maxItems: BATCH_MAX }),
});
export const Command = Type.Object({
  id: Type.Optional(Type.Integer()),
  method: Type.String({ examples: ["publish"] }),
  params: Type.Optional(Type.Object({}, { examples: [{ channel: "news", data: {} }] })),
});
