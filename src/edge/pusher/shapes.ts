// The bodies and answers of the routes for Pusher backends, as TypeBox schemas. Libraries send members that mean nothing here, and null
// for those that are not set: neither is refused.
import { type TSchema, Type } from "@sinclair/typebox";
import { Count, MEDIA_TYPE } from "../http/documents";

/** As in the relay's own batches; the libraries send at most 100 channels. */
export const EVENTS_MAX = 1_000;

const optional = (schema: TSchema) => Type.Optional(Type.Union([schema, Type.Null()]));

const Name = Type.String({ description: "The name of the event, of 1 to 200 characters." });
const Data = Type.String({
  description:
    "A text, which Pusher clients get with the same characters. If it is JSON, clients of other protocols get it as JSON.",
});
const Channel = Type.String({
  description: "The name of a channel.",
  examples: ["private-orders"],
});
const common = {
  name: Name,
  data: Data,
  socket_id: Type.Optional(
    Type.Union([Type.String({ pattern: "^\\d{1,20}\\.\\d{1,20}$" }), Type.Null()], {
      description: "The client that does not get the event: two numbers with a dot in between.",
      examples: ["123.456"],
    }),
  ),
  info: optional(
    Type.String({
      description: "What to answer about each channel: user_count, subscription_count, or both.",
      examples: ["user_count,subscription_count"],
    }),
  ),
  idempotency_key: optional(
    Type.String({
      description:
        "An event with a key that was used in the same channel within BATON_IDEMPOTENCY_MS is not published again.",
    }),
  ),
};

export const EventBody = Type.Object({
  ...common,
  channel: optional(Channel),
  channels: Type.Optional(
    Type.Union([Type.Array(Channel, { maxItems: EVENTS_MAX }), Type.Null()], {
      description: `Channels that get the event, at most ${EVENTS_MAX}. channel is one more.`,
    }),
  ),
});

const BatchEvent = Type.Object({ ...common, channel: Channel });

export const BatchBody = Type.Object({
  batch: Type.Array(BatchEvent, { description: `At most ${EVENTS_MAX} events.` }),
});

const Counts = Type.Object({
  user_count: Type.Optional(Count),
  subscription_count: Type.Optional(Count),
});

const ByChannel = Type.Object({}, { additionalProperties: Counts });

export const EventAnswer = Type.Object({ channels: Type.Optional(ByChannel) });
export const BatchAnswer = Type.Object({ batch: Type.Optional(Type.Array(Counts)) });
export const ChannelsAnswer = Type.Object({ channels: ByChannel });
export const ChannelAnswer = Type.Object({
  occupied: Type.Boolean(),
  user_count: Type.Optional(Count),
  subscription_count: Type.Optional(Count),
  cache: Type.Optional(Type.Object({ data: Type.String() })),
});
export const UsersAnswer = Type.Object({
  users: Type.Array(Type.Object({ id: Type.String() })),
});
export const NothingAnswer = Type.Object({}, { [MEDIA_TYPE]: "application/json" });

export const AppParameter = { id: Type.String({ description: "The id of an app." }) };
export const ChannelParameter = { channel: Channel };
export const UserParameter = { user: Type.String({ description: "The id of a user." }) };
