// The schemas of the bodies of POST /api/<method> (docs/centrifuge-protocol.md, "Server API"). Unknown fields are ignored,
// since libraries send fields that only their own server knows. Data and info are cut out of the body as they stand.
import { Type } from "@sinclair/typebox";
import { IDEMPOTENCY_KEY_BYTES_MAX } from "../../relay/text/checks";
import { Count } from "../http/documents";

/** Commands in one batch, and topics in one broadcast. */
export const BATCH_COMMANDS_MAX = 1_000;

const Text = Type.Optional(Type.String());
const Flag = Type.Optional(Type.Boolean());
const Position = Type.Optional(Type.Object({ offset: Type.Optional(Count), epoch: Text }));

const Raw = (description: string) => Type.Optional(Type.Unknown({ description }));
const Base64 = (of: string) =>
  Type.Optional(Type.String({ description: `The base64 of the JSON, instead of ${of}.` }));
const Seconds = (description: string) => Type.Optional(Type.Integer({ description }));

const payload = {
  data: Raw("Any JSON; its bytes go out unchanged. Required, here or in b64data."),
  b64data: Base64("data"),
  idempotency_key: Type.Optional(
    Type.String({
      description: `Requests with the same key in the same topic publish once. Any text of up to ${IDEMPOTENCY_KEY_BYTES_MAX} bytes of UTF-8, without control characters; an empty one counts as missing.`,
    }),
  ),
  // Not a Record: its pattern for keys skips those with U+2028 in them, whatever their values are.
  tags: Type.Optional(Type.Object({}, { additionalProperties: Type.String() })),
};
const selector = {
  user: Text,
  client: Type.Optional(Type.String({ description: "The id of one connection." })),
  session: Type.Optional(Type.String({ description: "The secret of one session over a stream." })),
};
const channel = Type.Optional(Type.String({ description: "A topic name. Required." }));

export const Nothing = Type.Object({});
export const Channel = Type.Object({ channel });
export const Publish = Type.Object({ channel, ...payload });
export const Broadcast = Type.Object({
  channels: Type.Optional(Type.Array(Type.String(), { maxItems: BATCH_COMMANDS_MAX })),
  ...payload,
});
export const Subscribe = Type.Object({
  ...selector,
  channel,
  info: Raw("What others in the topic see of the client."),
  b64info: Base64("info"),
  data: Raw("Sent to the client with the subscription."),
  b64data: Base64("data"),
  expire_at: Seconds(
    "When the subscription ends, in Unix seconds. By default, and with 0, it does not end.",
  ),
  recover_since: Position,
  override: Raw(
    'What others are not told of the client, such as {"presence":{"value":false},"join_leave":{"value":false}}.',
  ),
});
export const Unsubscribe = Type.Object({
  ...selector,
  channel: Type.Optional(
    Type.String({ description: "A topic name. By default, and when empty, all topics." }),
  ),
});
export const Disconnect = Type.Object({
  ...selector,
  whitelist: Type.Optional(
    Type.Array(Type.String(), { description: "The ids of connections that stay open." }),
  ),
  disconnect: Type.Optional(
    Type.Object({
      code: Type.Optional(
        Type.Integer({
          description:
            "From 3000 to 4999. By default, and with 0, it is 3503, after which SDKs do not reconnect.",
        }),
      ),
      reason: Text,
    }),
  ),
});
export const Refresh = Type.Object({
  ...selector,
  expired: Type.Optional(
    Type.Boolean({ description: "Whether to end them now; they may reconnect." }),
  ),
  expire_at: Seconds(
    "Until when they may stay without a new token, in Unix seconds; 0 stands for ever.",
  ),
});
export const History = Type.Object({
  channel,
  limit: Type.Optional(
    Type.Integer({
      description:
        "The most publications to return. By default, and with 0, only the position is returned; -1 returns all, at most 300.",
    }),
  ),
  since: Position,
  reverse: Flag,
});
export const Channels = Type.Object({
  pattern: Type.Optional(
    Type.String({
      description: "A pattern such as news:*. By default, and when empty, all topics.",
    }),
  ),
});
export const Batch = Type.Object({
  commands: Type.Array(Type.Unknown(), { maxItems: BATCH_COMMANDS_MAX }),
});
export const Command = Type.Object({
  id: Type.Optional(Type.Integer()),
  method: Type.String({ examples: ["publish"] }),
  params: Type.Optional(Type.Object({}, { examples: [{ channel: "news", data: {} }] })),
});
