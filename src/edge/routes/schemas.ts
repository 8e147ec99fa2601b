// The bodies, parameters and answers of the routes as TypeBox schemas. Validation and the OpenAPI page are made of them.
// relay/text/checks.ts checks the bounds that JSON Schema cannot express: bytes of UTF-8, and well-formed Unicode.
import { Kind, type TSchema, Type, TypeRegistry } from "@sinclair/typebox";
import {
  EVENT_CHARACTERS_MAX,
  IDEMPOTENCY_KEY_BYTES_MAX,
  TOPIC_BYTES_MAX,
  toUser,
  USER_CHARACTERS_MAX,
} from "../../relay/text/checks";
import {
  Count,
  Described,
  MEDIA_TYPE,
  NO_CONTROL,
  queryDocument,
  TopicName as TopicInPath,
} from "../http/documents";
import { PushBody } from "../push/shapes";

// Counts characters as JSON Schema does; TypeBox's own strings would count UTF-16 units.
TypeRegistry.Set(
  "UserText",
  (_, value) => typeof value === "string" && typeof toUser(value) === "string",
);
const UserText = Type.Unsafe<string>({
  [Kind]: "UserText",
  type: "string",
  minLength: 1,
  maxLength: USER_CHARACTERS_MAX,
  pattern: NO_CONTROL,
});

// `x-error` names the error code for a value that breaks the schema. Without it the code is `invalid_body`.
const UserId = Type.Union(
  [Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), UserText],
  {
    description: `A whole number from 0 to ${Number.MAX_SAFE_INTEGER}, or a text of 1 to ${USER_CHARACTERS_MAX} characters without control characters; 1 and "1" are the same user. Larger numbers are sent as text.`,
    examples: [1, "alice"],
    "x-error": "invalid_user",
  },
);

const TopicName = Type.String({
  minLength: 1,
  maxLength: TOPIC_BYTES_MAX,
  pattern: NO_CONTROL,
  description: `At most ${TOPIC_BYTES_MAX} bytes of UTF-8, without control characters.`,
  examples: ["tech"],
  "x-error": "invalid_topic",
});

export const RegisterBody = Type.Object(
  {
    user_id: UserId,
    topics: Type.Optional(
      Type.Array(TopicName, {
        description: "The client's first topics, instead of BATON_DEFAULT_TOPICS.",
      }),
    ),
  },
  { additionalProperties: false },
);

export const RegisterAnswer = Type.Object({
  url: Type.String({
    description: "The address for a WebSocket, valid until the registration expires.",
    examples: ["ws://127.0.0.1:8000/ws/625ac78b88e047a1bc7b3f8459702078"],
  }),
  sse: Type.String({
    description: "The address for EventSource.",
    examples: ["http://127.0.0.1:8000/sse/625ac78b88e047a1bc7b3f8459702078"],
  }),
});

const EventName = Described({
  maxLength: EVENT_CHARACTERS_MAX,
  description:
    "What kind of message it is. Clients of the JSON protocol have it in the envelope, Pusher clients as the name of the event.",
  examples: ["order-shipped"],
});

export const PublishBody = Type.Object(
  {
    topic: TopicName,
    message: Type.Optional(
      Type.String({
        description: "Any Unicode text up to BATON_MESSAGE_BYTES; it goes out byte for byte.",
        examples: ["hi"],
      }),
    ),
    data: Type.Optional(
      Type.Unknown({
        description: "Any JSON, instead of message; its bytes go out unchanged.",
        examples: [{ price: 1.5 }],
      }),
    ),
    event: Type.Optional(EventName),
    user_id: Type.Optional(UserId),
    push: Type.Optional(PushBody),
    except: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description: "The id of a connection that does not get the publication live.",
      }),
    ),
    idempotency_key: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: IDEMPOTENCY_KEY_BYTES_MAX,
        pattern: NO_CONTROL,
        description: `The same as the header Idempotency-Key, which it precedes. Any text of up to ${IDEMPOTENCY_KEY_BYTES_MAX} bytes of UTF-8, without control characters.`,
        "x-error": "invalid_idempotency_key",
      }),
    ),
  },
  // For the page only: TypeBox ignores oneOf here, and relay/publishing/publisher.ts checks it.
  { additionalProperties: false, oneOf: [{ required: ["message"] }, { required: ["data"] }] },
);

/** Publications in one body. */
export const BATCH_PUBLICATIONS_MAX = 1_000;

/** For the page only: the items of an array are checked one by one. */
export const PublishBodies = Type.Union([
  PublishBody,
  Type.Array(PublishBody, { maxItems: BATCH_PUBLICATIONS_MAX }),
]);

const Offset = Type.Integer({
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  description: "The number of the publication in its topic: 1, 2, 3…",
});

const Epoch = Type.String({
  description:
    "Identifies the history that offsets belong to. A history that was lost gets a new epoch.",
});

const PublishAnswer = Type.Object({
  delivered: Type.Integer({
    minimum: 0,
    description: "How many connections of this node the publication was sent to.",
  }),
  offset: Type.Optional(Offset),
  epoch: Type.Optional(Epoch),
});

const PublishError = Type.Object({
  error: Type.Object({ code: Type.String(), message: Type.String() }),
});

export const PublishAnswers = Type.Union([
  PublishAnswer,
  Type.Array(Type.Union([PublishAnswer, PublishError])),
]);

export const TopicParameter = Type.Object({
  topic: TopicInPath,
});

export const HistoryAnswer = Type.Object({
  offset: Offset,
  epoch: Epoch,
  publications: Type.Array(
    Type.Object({
      offset: Offset,
      event: Type.Optional(EventName),
      data: Type.Unknown({ description: "The message as a JSON string, or the JSON data." }),
      user_id: Type.Optional(
        Type.String({ description: "Set when the publication was for this user alone." }),
      ),
    }),
  ),
});

const Whole = (description: string): TSchema =>
  Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description });

export const HistoryQuery = queryDocument({
  since: Whole("An offset. By default the oldest publication comes first, or reversed the newest."),
  epoch: Type.String({
    description: "The epoch of `since`. The request is refused when the topic has another one.",
  }),
  limit: Whole(
    "The most publications to return: 100 by default, at most 1,000, and at most about 4 MiB of them. 0 returns only the position.",
  ),
  reverse: Type.Boolean({ description: "Newest first." }),
});

export const CloseQuery = queryDocument({
  code: Type.Integer({
    minimum: 3000,
    maximum: 4999,
    default: 3503,
    description: "The close code.",
  }),
  reason: Type.String({
    default: "force disconnect",
    description: "The reason that goes with the code, at most 123 bytes of UTF-8.",
  }),
});

export const PresenceQuery = queryDocument({
  counts: Type.Boolean({ description: "Returns only the two counts, in constant time." }),
});

const Heartbeat = Type.Integer({
  minimum: 1,
  description:
    "The most seconds between two pings, or comments on a stream, for a client that ends quiet connections sooner than others. By default, and at most, BATON_PING_MS.",
});

const MaxBytes = Type.Integer({
  minimum: 8_192,
  maximum: 1_048_576,
  description:
    'The largest frame, or event with all its lines, that the client\'s library takes, in bytes; it is rounded down to a power of two. A publication that is larger comes with `"data":null,"too_large":40053` (its size) in its envelope. Only with format=json.',
});

export const SocketQuery = queryDocument({
  format: Type.Literal("json", {
    description: "Publications come in envelopes, with their topics and positions.",
  }),
  heartbeat: Heartbeat,
  max_bytes: MaxBytes,
});

export const StreamQuery = queryDocument({
  topics: Type.String({
    description:
      "Topics, separated by commas; or one topic, where the parameter is given several times. In a list, %252C stands for a comma in a name. By default those of the registration, or else BATON_DEFAULT_TOPICS.",
  }),
  format: Type.Literal("json", {
    description:
      "Data comes in the envelope of the JSON protocol, so that text with carriage returns stays whole.",
  }),
  since: Type.String({
    description: "The value of Last-Event-ID, for a client that cannot send that header.",
  }),
  lastEventId: Type.String({
    description:
      "The same, as polyfills of EventSource send it when they reconnect. It comes after the header and before `since`.",
  }),
  heartbeat: Heartbeat,
  max_bytes: MaxBytes,
  positions: Type.Literal("event", {
    description:
      "The positions that the stream begins at come in an event with the name $positions and empty data. For client libraries that ignore the id of a block without data, and would not know where to resume when the stream is cut before its first event.",
  }),
});

export const Nothing = Type.String({
  maxLength: 0,
  description: "The answer has no body.",
  [MEDIA_TYPE]: null,
});

export const EventStream = Type.String({
  description: "Server-Sent Events (text/event-stream); the response does not end.",
  [MEDIA_TYPE]: "text/event-stream",
});

export const LineStream = Type.String({
  description: "Replies and pushes in JSON, one to a line; the response does not end.",
  [MEDIA_TYPE]: "application/json",
});

export const ConnectionId = Type.Object({
  id: Type.String({
    description: "The 32 hex digits at the end of the url that POST /register returned.",
    examples: ["625ac78b88e047a1bc7b3f8459702078"],
  }),
});

export const ConnectionParameter = Type.Object({
  id: Type.String({
    description: "The id as the list of a user's connections has it, or as presence has it.",
  }),
});

export const ConnectionsAnswer = Type.Object({
  connections: Type.Array(
    Type.Object({
      id: Type.String({
        description: "The id of its registration. Anyone who has it can connect with it.",
      }),
      protocol: Type.String({
        description: "Followed by its size where the client has given max_bytes, as in json-32k.",
        examples: ["plain"],
      }),
      topics: Type.Array(Type.String()),
      since: Type.String({ format: "date-time", description: "When the connection opened." }),
      waiting_bytes: Type.Integer({
        minimum: 0,
        description: "Bytes that wait in the relay for the client to read them.",
      }),
    }),
  ),
});

export const DisconnectAnswer = Type.Object({ disconnected: Count });

export const PresenceAnswer = Type.Union([
  Type.Object({
    clients: Type.Array(Type.Object({ client: Type.String(), user: Type.String() })),
    users: Count,
  }),
  Type.Object({ clients: Count, users: Count }, { description: "With counts=true." }),
]);

export const Ok = Type.Literal("ok", {
  description: "The relay can serve; at /health/live, the process is alive.",
});

export const Metrics = Type.String({
  description: "Series in the Prometheus text format, version 0.0.4",
});

export const Removed = Type.String({ description: "`Client removed with id <id>`" });

export const NotRemoved = Type.String({ description: "`Client not found with id <id>`" });
