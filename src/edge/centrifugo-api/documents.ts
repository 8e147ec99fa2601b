// How the OpenAPI page shows the server API. The relay writes its answers as text, to keep the bytes of data, so these
// schemas of answers are for the page only.
import { type TSchema, Type } from "@sinclair/typebox";
import type { ErrorCode } from "../../relay/contracts/errors";
import { Count } from "../http/documents";
import * as Shape from "./shapes";

export interface ApiDocument {
  readonly summary: string;
  readonly description?: string;
  readonly body: TSchema;
  readonly answer: TSchema;
  /** In addition to those of every method. */
  readonly errors?: readonly ErrorCode[];
}

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
    code: Type.Integer({
      description: "An error code of Centrifuge, such as 107 for a bad request.",
    }),
    message: Type.String(),
  }),
});

/** An object whose keys are names of topics or clients. */
const byName = (value: TSchema) => Type.Object({}, { additionalProperties: value });

const Nothing = Type.Object({});
const Published = Type.Object(
  { offset: Type.Optional(Count), epoch: Type.Optional(Type.String()) },
  { description: "Empty when the topic keeps no history." },
);
const Broadcast = Type.Object({
  responses: Type.Array(Type.Union([Type.Object({ result: Published }), AnError])),
});
const Presence = Type.Object({ presence: byName(Info) });
const PresenceStats = Type.Object({ num_clients: Count, num_users: Count });
const History = Type.Object({
  publications: Type.Array(Publication),
  epoch: Type.String(),
  offset: Count,
});
const Channels = Type.Object({ channels: byName(Type.Object({ num_clients: Count })) });
const Nodes = Type.Object({
  nodes: Type.Array(
    Type.Object({
      uid: Type.String(),
      name: Type.String(),
      version: Type.String(),
      num_clients: Count,
      num_users: Count,
      num_channels: Count,
      num_subs: Count,
      uptime: Type.Integer({ description: "How long the node has been running, in seconds." }),
    }),
  ),
});

/** A result or an error, both with status 200. */
const answerOf = (result: TSchema): TSchema => Type.Union([Type.Object({ result }), AnError]);

const method = (summary: string, body: TSchema, result: TSchema): ApiDocument => ({
  summary,
  body,
  answer: answerOf(result),
});

/** A document for each method of edge/centrifugo-api/methods.ts. */
export const METHOD_DOCUMENTS: Readonly<Record<string, ApiDocument>> = {
  publish: method("Publish to a topic", Shape.Publish, Published),
  broadcast: method("Publish the same data to up to 1,000 topics", Shape.Broadcast, Broadcast),
  subscribe: method("Subscribe a user's sessions to a topic", Shape.Subscribe, Nothing),
  unsubscribe: method("Unsubscribe a user's sessions from a topic", Shape.Unsubscribe, Nothing),
  disconnect: method("Close a user's connections", Shape.Disconnect, Nothing),
  refresh: method("Set how long a user's sessions may stay", Shape.Refresh, Nothing),
  presence: method("List the clients in a topic", Shape.Channel, Presence),
  presence_stats: method("Count the clients in a topic", Shape.Channel, PresenceStats),
  history: method("Read a topic's history", Shape.History, History),
  history_remove: method(
    "Remove the publications that a topic's history keeps",
    Shape.Channel,
    Nothing,
  ),
  channels: method("List the topics that have subscribers", Shape.Channels, Channels),
  info: method("List the relay's nodes", Shape.Nothing, Nodes),
};

export const BATCH_DOCUMENT: ApiDocument = {
  summary: "Call up to 1,000 methods, one after another",
  body: Shape.Batch,
  answer: Type.Union([
    Type.Object({
      replies: Type.Array(
        Type.Union([
          Type.Object(
            {},
            { description: 'The result under the name of the method: `{"publish":{…}}`.' },
          ),
          AnError,
        ]),
      ),
    }),
    AnError,
  ]),
};

export const COMMANDS_DOCUMENT: ApiDocument = {
  summary: "Call methods as older libraries do",
  description:
    "The body has commands that name their method, one to a line and at most 1,000. The answer has the replies in the same order, one to a line.",
  body: Shape.Command,
  answer: answerOf(Type.Object({})),
  errors: ["batch_too_large"],
};
