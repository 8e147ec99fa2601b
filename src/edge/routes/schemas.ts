// What goes in and out of the routes, as TypeBox schemas: the validation and the OpenAPI page are made of them.
// Bounds that JSON Schema cannot say (bytes of UTF-8, well-formed Unicode) are checked in relay/text/checks.ts.
import { Kind, type TSchema, Type, TypeRegistry } from "@sinclair/typebox";
import { ERRORS, type ErrorCode } from "../../relay/contracts/errors";
import { TOPIC_BYTES_MAX, toUser, USER_CHARACTERS_MAX } from "../../relay/text/checks";

// Characters as JSON Schema counts them; TypeBox's own strings would count UTF-16 units.
TypeRegistry.Set(
  "UserText",
  (_, value) => typeof value === "string" && typeof toUser(value) === "string",
);
const UserText = Type.Unsafe<string>({
  [Kind]: "UserText",
  type: "string",
  minLength: 1,
  maxLength: USER_CHARACTERS_MAX,
});

// `x-error` names the code that a value against the schema gets; without it that is `invalid_body`.
const UserId = Type.Union(
  [Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), UserText],
  {
    description: 'A whole number from 0 or a non-empty text; 1 and "1" are the same user.',
    examples: [1, "alice"],
    "x-error": "invalid_user",
  },
);

const TopicName = Type.String({
  minLength: 1,
  maxLength: TOPIC_BYTES_MAX,
  pattern: "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
  description: `At most ${TOPIC_BYTES_MAX} bytes of UTF-8, no control characters.`,
  examples: ["tech"],
  "x-error": "invalid_topic",
});

export const RegisterBody = Type.Object(
  {
    user_id: UserId,
    topics: Type.Optional(
      Type.Array(TopicName, {
        description: "The client's first topics, in place of BATON_DEFAULT_TOPICS.",
      }),
    ),
  },
  { additionalProperties: false },
);

export const RegisterAnswer = Type.Object({
  url: Type.String({
    description: "Where to connect with a WebSocket before the registration expires.",
    examples: ["ws://127.0.0.1:8000/ws/625ac78b88e047a1bc7b3f8459702078"],
  }),
  sse: Type.String({
    description: "Where to connect with EventSource instead.",
    examples: ["http://127.0.0.1:8000/sse/625ac78b88e047a1bc7b3f8459702078"],
  }),
});

export const PublishBody = Type.Object(
  {
    topic: TopicName,
    message: Type.Optional(
      Type.String({
        description: "Text of any Unicode, sent byte for byte; bounded by BATON_MESSAGE_BYTES.",
        examples: ["hi"],
      }),
    ),
    data: Type.Optional(
      Type.Unknown({
        description: "Any JSON in place of message; its bytes go out unchanged.",
        examples: [{ price: 1.5 }],
      }),
    ),
    user_id: Type.Optional(UserId),
    except: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description: "Id of a connection that shall not get it live.",
      }),
    ),
    idempotency_key: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 255,
        pattern: "^[\\x21-\\x7e]+$",
        description: "As the header Idempotency-Key.",
        "x-error": "invalid_idempotency_key",
      }),
    ),
  },
  // For the page: TypeBox leaves it alone, and relay/publishing/acceptance.ts checks it.
  { additionalProperties: false, oneOf: [{ required: ["message"] }, { required: ["data"] }] },
);

/** For the page: the items of an array are checked one by one. */
export const PublishBodies = Type.Union([
  PublishBody,
  Type.Array(PublishBody, { maxItems: 1_000 }),
]);

const Offset = Type.Integer({
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  description: "1, 2, 3… in its topic.",
});

const Epoch = Type.String({ description: "One life of the topic's history." });

const PublishAnswer = Type.Object({
  delivered: Type.Integer({
    minimum: 0,
    description: "Connections of this node that it was sent to.",
  }),
  offset: Type.Optional(Offset),
  epoch: Type.Optional(Epoch),
});

const anError = Type.Object({
  error: Type.Object({ code: Type.String(), message: Type.String() }),
});

export const PublishAnswers = Type.Union([
  PublishAnswer,
  Type.Array(Type.Union([PublishAnswer, anError])),
]);

// Without bounds, so that relay/text/checks.ts refuses what is none, with its own code.
export const TopicParameter = Type.Object({
  topic: Type.String({ description: "A topic name, percent-encoded.", examples: ["tech"] }),
});

export const HistoryAnswer = Type.Object({
  offset: Offset,
  epoch: Epoch,
  publications: Type.Array(
    Type.Object({
      offset: Offset,
      data: Type.Unknown({ description: "The message as a JSON string, or the data." }),
      user_id: Type.Optional(Type.String({ description: "It was for this user alone." })),
    }),
  ),
});

/** Query parameters: their names for edge/http/query.ts, and how the page shows them. */
function parameters(properties: Record<string, TSchema>) {
  const shown = Object.entries(properties).map(([name, schema]) => ({
    in: "query" as const,
    name,
    required: false,
    description: schema.description ?? "",
    schema: schema as object,
  }));
  return { properties, parameters: shown };
}

const Whole = (description: string): TSchema =>
  Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description });

export const HistoryQuery = parameters({
  since: Whole("An offset; not set: from the oldest that is kept, reversed from the newest."),
  epoch: Type.String({ description: "The epoch of `since`, to be told when it is another now." }),
  limit: Whole("At most so many: 100 if not set, never more than 1,000; 0 asks for the position."),
  reverse: Type.Boolean({ description: "Newest first." }),
});

export const CloseQuery = parameters({
  code: Type.Integer({ minimum: 3000, maximum: 4999, default: 3503, description: "Close code." }),
  reason: Type.String({
    default: "force disconnect",
    description: "Reason of the close, at most 123 bytes of UTF-8.",
  }),
});

export const PresenceQuery = parameters({
  counts: Type.Boolean({ description: "Only how many there are; in constant time." }),
});

export const SocketQuery = parameters({
  format: Type.Literal("json", { description: "Publications in envelopes, with positions." }),
});

export const StreamQuery = parameters({
  topics: Type.String({
    description: "Comma-separated; not set: those of the registration, else BATON_DEFAULT_TOPICS.",
  }),
  format: Type.Literal("json", {
    description:
      "Data in the envelope of the JSON protocol: text with carriage returns stays whole.",
  }),
  since: Type.String({
    description: "What Last-Event-ID would say, for a client that cannot send that header.",
  }),
});

export const Nothing = Type.String({ maxLength: 0, description: "Nothing more is said." });

export const EventStream = Type.String({
  description: "Server-Sent Events without an end (text/event-stream).",
});

export const ConnectionId = Type.Object({
  id: Type.String({
    description: "The 32 hex digits at the end of the url that POST /register gave.",
    examples: ["625ac78b88e047a1bc7b3f8459702078"],
  }),
});

// Without bounds, so that relay/text/checks.ts refuses what is none, with its own code.
export const UserParameter = Type.Object({
  user: Type.String({ description: "A user_id, percent-encoded.", examples: ["alice"] }),
});

export const ConnectionParameter = Type.Object({
  id: Type.String({ description: "As its list has it, or as presence has it." }),
});

export const ConnectionsAnswer = Type.Object({
  connections: Type.Array(
    Type.Object({
      id: Type.String({ description: "Of its registration: whoever has it can connect with it." }),
      protocol: Type.String({ examples: ["plain"] }),
      topics: Type.Array(Type.String()),
      since: Type.String({ format: "date-time", description: "When it was opened." }),
      waiting_bytes: Type.Integer({ minimum: 0, description: "Waits here to be read by it." }),
    }),
  ),
});

export const DisconnectAnswer = Type.Object({ disconnected: Type.Integer({ minimum: 0 }) });

const Count = Type.Integer({ minimum: 0 });

export const PresenceAnswer = Type.Union([
  Type.Object({
    clients: Type.Array(Type.Object({ client: Type.String(), user: Type.String() })),
    users: Count,
  }),
  Type.Object({ clients: Count, users: Count }, { description: "With counts=true." }),
]);

export const Ok = Type.Literal("ok", { description: "The relay can serve." });

export const Removed = Type.String({ description: "`Client removed with id <id>`" });

export const NotRemoved = Type.String({ description: "`Client not found with id <id>`" });

// Not Void: the plug-in makes an invalid document of that.
export const Switching = Type.String({
  maxLength: 0,
  description: "The connection is a WebSocket from here on.",
});

/** What every route with a body may answer. */
export const BODY_ERRORS = [
  "bad_request",
  "malformed_json",
  "unauthorized",
  "body_too_large",
  "unsupported_media_type",
  "invalid_body",
] as const satisfies readonly ErrorCode[];

const errorSchema = (codes: readonly ErrorCode[]): TSchema =>
  Type.Object(
    {
      error: Type.Object({
        code: Type.Union(codes.map((code) => Type.Literal(code))),
        message: Type.String({ description: "What was wrong and what is allowed." }),
      }),
    },
    { description: codes.map((code) => `\`${code}\`: ${ERRORS[code].means}`).join(" ") },
  );

/** The error answers of a route, by status, from the codes that it can give, and those that any route can. */
export function errorAnswers(...codes: ErrorCode[]): Record<number, TSchema> {
  const all: ErrorCode[] = ["forbidden_origin", ...codes];
  const byStatus = Map.groupBy(all, (code) => ERRORS[code].status as number);
  return Object.fromEntries([...byStatus].map(([status, group]) => [status, errorSchema(group)]));
}
