// What goes in and out of the routes, as TypeBox schemas: the validation and the OpenAPI page are made of them.
// Bounds that JSON Schema cannot say (bytes of UTF-8, well-formed Unicode) are checked in relay/text.ts.
import { Kind, type TSchema, Type, TypeRegistry } from "@sinclair/typebox";
import { ERRORS, type ErrorCode } from "../relay/errors";
import { TOPIC_BYTES_MAX, toUser, USER_CHARACTERS_MAX } from "../relay/text";

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

export const RegisterBody = Type.Object({ user_id: UserId }, { additionalProperties: false });

export const RegisterAnswer = Type.Object({
  url: Type.String({
    description: "Where to connect with a WebSocket, once, before the registration expires.",
    examples: ["ws://127.0.0.1:8000/ws/625ac78b88e047a1bc7b3f8459702078"],
  }),
});

export const PublishBody = Type.Object(
  {
    topic: TopicName,
    message: Type.String({
      description: "Text of any Unicode, sent byte for byte; bounded by BATON_MESSAGE_BYTES.",
      examples: ["hi"],
    }),
    user_id: Type.Optional(UserId),
  },
  { additionalProperties: false },
);

export const PublishAnswer = Type.Object({
  delivered: Type.Integer({
    minimum: 0,
    description: "Connections of this node that it was sent to.",
  }),
});

export const ConnectionId = Type.Object({
  id: Type.String({
    description: "The 32 hex digits at the end of the url that POST /register gave.",
    examples: ["625ac78b88e047a1bc7b3f8459702078"],
  }),
});

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

/** The error answers of a route, by status, from the codes that it can give. */
export function errorAnswers(...codes: ErrorCode[]): Record<number, TSchema> {
  const byStatus = Map.groupBy(codes, (code) => ERRORS[code].status as number);
  return Object.fromEntries([...byStatus].map(([status, group]) => [status, errorSchema(group)]));
}
