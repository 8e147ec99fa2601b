// The bodies and answers of devices and pushes as TypeBox schemas.
import { Type } from "@sinclair/typebox";
import { TOPIC_BYTES_MAX } from "../../relay/text/checks";
import { PAYLOAD_BYTES_MAX, TTL_S_MAX, URGENCIES } from "./content";

const INVALID_PUSH = { "x-error": "invalid_push" };

/** What devices show of a publication. */
export const PushBody = Type.Object(
  {
    title: Type.String({ minLength: 1, examples: ["New message"], ...INVALID_PUSH }),
    body: Type.Optional(Type.String({ examples: ["hi"], ...INVALID_PUSH })),
    url: Type.Optional(
      Type.String({
        description: "What opens when somebody taps on it.",
        examples: ["/chat"],
        ...INVALID_PUSH,
      }),
    ),
    ttl: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: TTL_S_MAX,
        default: 86_400,
        description: "How many seconds it is worth showing: whole seconds, at most four weeks.",
        ...INVALID_PUSH,
      }),
    ),
    urgency: Type.Optional(
      Type.Union(
        URGENCIES.map((urgency) => Type.Literal(urgency)),
        {
          default: "normal",
          description: `One of ${URGENCIES.join(", ")}: what is not urgent waits until a device is awake.`,
          ...INVALID_PUSH,
        },
      ),
    ),
    topic: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: TOPIC_BYTES_MAX,
        description:
          "A push takes the place of one with the same topic that a device has not got yet. Push services see a hash of it.",
        ...INVALID_PUSH,
      }),
    ),
  },
  {
    additionalProperties: false,
    description: `What the user's devices show if no connection takes the publication within BATON_PUSH_AFTER_MS; it needs user_id. At most ${PAYLOAD_BYTES_MAX} bytes of JSON with title, body, url and the publication's topic.`,
    ...INVALID_PUSH,
  },
);

const INVALID_DEVICE = { "x-error": "invalid_device" };

/** Browsers may have more members one day. */
export const DeviceBody = Type.Object(
  {
    endpoint: Type.String({
      examples: ["https://updates.push.services.example/wpush/v2/gAAAAABm"],
      ...INVALID_DEVICE,
    }),
    expirationTime: Type.Optional(
      Type.Union([Type.Number(), Type.Null()], {
        description: "In milliseconds of Unix time, or null.",
        ...INVALID_DEVICE,
      }),
    ),
    keys: Type.Object(
      {
        p256dh: Type.String({ description: "In base64url.", ...INVALID_DEVICE }),
        auth: Type.String({ description: "In base64url.", ...INVALID_DEVICE }),
      },
      INVALID_DEVICE,
    ),
  },
  { description: "What PushSubscription.toJSON() gives.", ...INVALID_DEVICE },
);

export const DeviceAnswer = Type.Object({
  id: Type.String({ description: "Made of the endpoint: registered again, it is the same." }),
  service: Type.String({
    description: "The host of its push service.",
    examples: ["fcm.googleapis.com"],
  }),
  since: Type.String({ format: "date-time", description: "When it was first registered." }),
  expires: Type.String({
    format: "date-time",
    description: "Until when it is kept, unless it is registered again.",
  }),
});

export const DevicesAnswer = Type.Object({ devices: Type.Array(DeviceAnswer) });

export const DeviceRemoved = Type.Object({ removed: Type.Integer({ minimum: 1, maximum: 1 }) });
