// What the methods of POST /api/<method> answer, for the OpenAPI page: bodies are written as text, with the bytes of data.
import { type TSchema, Type } from "@sinclair/typebox";

const Count = Type.Integer({ minimum: 0 });

const Info = Type.Object({
  user: Type.String(),
  client: Type.String(),
  conn_info: Type.Optional(Type.Unknown()),
  chan_info: Type.Optional(Type.Unknown()),
});

const Publication = Type.Object({
  data: Type.Unknown(),
  offset: Type.Optional(Count),
  info: Type.Optional(Info),
  tags: Type.Optional(Type.Object({}, { additionalProperties: Type.String() })),
});

const AnError = Type.Object({
  error: Type.Object({
    code: Type.Integer({ description: "Such as 107 for a bad request." }),
    message: Type.String(),
  }),
});

/** An object whose keys are names. */
const byName = (value: TSchema) => Type.Object({}, { additionalProperties: value });

export const Nothing = Type.Object({});
export const Published = Type.Object(
  { offset: Type.Optional(Count), epoch: Type.Optional(Type.String()) },
  { description: "Empty where the topic keeps no history." },
);
export const Broadcast = Type.Object({
  responses: Type.Array(Type.Union([Type.Object({ result: Published }), AnError])),
});
export const Presence = Type.Object({ presence: byName(Info) });
export const PresenceStats = Type.Object({ num_clients: Count, num_users: Count });
export const History = Type.Object({
  publications: Type.Array(Publication),
  epoch: Type.String(),
  offset: Count,
});
export const Channels = Type.Object({ channels: byName(Type.Object({ num_clients: Count })) });
export const Nodes = Type.Object({
  nodes: Type.Array(
    Type.Object({
      uid: Type.String(),
      name: Type.String(),
      version: Type.String(),
      num_clients: Count,
      num_users: Count,
      num_channels: Count,
      num_subs: Count,
      uptime: Type.Integer({ description: "In seconds." }),
    }),
  ),
});

/** The answer to a method: its result, or why there is none, both with status 200. */
export function answerOf(result: TSchema): TSchema {
  return Type.Union([Type.Object({ result }), AnError]);
}

/** The answer to a batch. */
export const Replies = Type.Union([
  Type.Object({
    replies: Type.Array(
      Type.Union([
        Type.Object({}, { description: 'The method, with its result: `{"publish":{…}}`.' }),
        AnError,
      ]),
    ),
  }),
  AnError,
]);

/** The answer to one of several commands in lines. */
export const Line = answerOf(Type.Object({}));
