// The shapes of the bodies of POST /api/<method> (shared/centrifuge-protocol.md, 16). Unknown fields are passed over,
// as libraries send what their server knows and we do not. Data and info are cut out of the body as they stand.
import { Type } from "@sinclair/typebox";

/** Commands in one batch, and topics in one broadcast. */
export const BATCH_MAX = 1_000;

const Text = Type.Optional(Type.String());
const Flag = Type.Optional(Type.Boolean());
const Position = Type.Optional(
  Type.Object({ offset: Type.Optional(Type.Integer({ minimum: 0 })), epoch: Text }),
);

const Raw = (description: string) => Type.Optional(Type.Unknown({ description }));
const Base64 = (of: string) =>
  Type.Optional(Type.String({ description: `${of} in base64, in place of it.` }));
const Seconds = (description: string) => Type.Optional(Type.Integer({ description }));

const payload = {
  data: Raw("Any JSON; its bytes go out unchanged. Needed, here or in base64."),
  b64data: Base64("data"),
  idempotency_key: Type.Optional(
    Type.String({ description: "The same key in the same topic publishes once." }),
  ),
  // Not a Record: its pattern for keys passes over those with U+2028 in them, whatever their values.
  tags: Type.Optional(Type.Object({}, { additionalProperties: Type.String() })),
};
const who = {
  user: Text,
  client: Type.Optional(Type.String({ description: "Id of one connection." })),
  session: Type.Optional(Type.String({ description: "Secret of one session over a stream." })),
};
const channel = Type.Optional(Type.String({ description: "A topic name. Needed." }));

export const Nothing = Type.Object({});
export const Channel = Type.Object({ channel });
export const Publish = Type.Object({ channel, ...payload });
export const Broadcast = Type.Object({
  channels: Type.Optional(Type.Array(Type.String(), { maxItems: BATCH_MAX })),
  ...payload,
});
export const Subscribe = Type.Object({
  ...who,
  channel,
  info: Raw("What others in the topic see of it."),
  b64info: Base64("info"),
  data: Raw("For the client."),
  b64data: Base64("data"),
  expire_at: Seconds("In Unix seconds: when it ends. Not set, or 0: it does not."),
  recover_since: Position,
});
export const Unsubscribe = Type.Object({
  ...who,
  channel: Type.Optional(Type.String({ description: "Not set, or empty: all topics." })),
});
export const Disconnect = Type.Object({
  ...who,
  whitelist: Type.Optional(
    Type.Array(Type.String(), { description: "Ids of connections that stay." }),
  ),
  disconnect: Type.Optional(
    Type.Object({
      code: Type.Optional(
        Type.Integer({
          description: "3000 to 4999; not set, or 0: 3503, which does not come back.",
        }),
      ),
      reason: Text,
    }),
  ),
});
export const Refresh = Type.Object({
  ...who,
  expired: Type.Optional(Type.Boolean({ description: "End them now; they may come back." })),
  expire_at: Seconds("In Unix seconds: until when they may stay without a new token; 0: for ever."),
});
export const History = Type.Object({
  channel,
  limit: Type.Optional(
    Type.Integer({ description: "Not set, or 0: none, only the position; -1: all; at most 300." }),
  ),
  since: Position,
  reverse: Flag,
});
export const Channels = Type.Object({
  pattern: Type.Optional(Type.String({ description: "Such as news:*; not set, or empty: all." })),
});
export const Batch = Type.Object({
  commands: Type.Array(Type.Unknown(), { maxItems: BATCH_MAX }),
});
export const Command = Type.Object({
  id: Type.Optional(Type.Integer()),
  method: Type.String({ examples: ["publish"] }),
  params: Type.Optional(Type.Object({}, { examples: [{ channel: "news", data: {} }] })),
});
