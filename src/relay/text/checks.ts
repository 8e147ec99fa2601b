// Checks which texts may be a topic name, a user, a message or a key. A text that passes is well-formed Unicode, always:
// Bun's native topics are UTF-8, in which every lone surrogate becomes U+FFFD, so two users' topics could become one.
import type { Member } from "../contracts/commands";
import { Refusal } from "../contracts/errors";
import { isDeeper } from "./json";

/** The longest topic name, in UTF-8. Centrifugo has the same bound. */
export const TOPIC_BYTES_MAX = 255;

/** The longest user id that is a text, in code points. */
export const USER_CHARACTERS_MAX = 128;

/** The longest idempotency key, in UTF-8. Keys are often made of titles or URLs. */
export const IDEMPOTENCY_KEY_BYTES_MAX = 1_024;

/** The longest name of an event, in code points. */
export const EVENT_CHARACTERS_MAX = 200;

// C0, DEL and C1 are invisible; in a log or on a terminal they can forge a line or move the cursor. Names and keys must not
// contain them; blanks are visible enough, and a name that consists of them is as good as any other.
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

const encoder = new TextEncoder();
const scratch = new Uint8Array(4 * TOPIC_BYTES_MAX);

/** Whether `text` takes at most `max` bytes in UTF-8. Short texts cost nothing, others their length. */
export function fitsBytes(text: string, max: number): boolean {
  if (text.length * 3 <= max) return true;
  if (text.length > max) return false;
  if (max > scratch.length) return encoder.encode(text).length <= max;
  const { read, written } = encoder.encodeInto(text, scratch);
  return read === text.length && written <= max;
}

/**
 * Whether `text` has at most `max` code points. One takes one or two UTF-16 units, so they need counting only where the
 * length leaves it open.
 */
function fitsCharacters(text: string, max: number): boolean {
  return text.length <= max || (text.length <= 2 * max && [...text].length <= max);
}

/** Refuses (`invalid_topic`) a text that cannot be a topic name. */
export function checkTopic(name: string): Refusal | undefined {
  if (name === "") return new Refusal("invalid_topic", "A topic name must not be empty.");
  if (!fitsBytes(name, TOPIC_BYTES_MAX)) {
    return new Refusal(
      "invalid_topic",
      `A topic name must have at most ${TOPIC_BYTES_MAX} bytes in UTF-8.`,
    );
  }
  if (CONTROL.test(name)) {
    return new Refusal("invalid_topic", "A topic name must not contain control characters.");
  }
  if (!name.isWellFormed()) {
    return new Refusal(
      "invalid_topic",
      "A topic name must be well-formed Unicode, without lone surrogates.",
    );
  }
  return undefined;
}

/** Refuses (`invalid_topic`, `too_many_topics`) names that cannot be the topics of one connection. */
export function checkTopics(names: ReadonlySet<string>, max: number): Refusal | undefined {
  if (names.size > max) {
    return new Refusal(
      "too_many_topics",
      `A connection can have at most ${max} topics (BATON_CONNECTION_TOPICS_MAX).`,
    );
  }
  for (const name of names) {
    const refusal = checkTopic(name);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

/**
 * The user that a `user_id` names: a whole number and its decimal text are the same user.
 * Refuses (`invalid_user`) everything but whole numbers from 0 to 2^53-1 and texts that could be a topic's name too.
 */
export function toUser(value: number | string): string | Refusal {
  if (typeof value === "number") {
    if (Number.isSafeInteger(value) && value >= 0) return String(value);
    return new Refusal(
      "invalid_user",
      "A user_id that is a number must be a whole number from 0 to 9007199254740991. Send larger ones as text.",
    );
  }
  // An app that embeds a relay may be written without types.
  if (typeof value !== "string") {
    return new Refusal("invalid_user", "A user_id must be a whole number or a text.");
  }
  if (value === "") return new Refusal("invalid_user", "A user_id must not be empty.");
  if (!fitsCharacters(value, USER_CHARACTERS_MAX)) {
    return new Refusal(
      "invalid_user",
      `A user_id must have at most ${USER_CHARACTERS_MAX} characters.`,
    );
  }
  if (CONTROL.test(value)) {
    return new Refusal("invalid_user", "A user_id must not contain control characters.");
  }
  if (!value.isWellFormed()) {
    return new Refusal(
      "invalid_user",
      "A user_id must be well-formed Unicode, without lone surrogates.",
    );
  }
  return value;
}

/** Refuses (`invalid_user`, `member_too_large`, `invalid_message`) who cannot be a member of a topic. Its info must be valid JSON. */
export function checkMember({ user, info }: Member, infoBytesMax: number): Refusal | undefined {
  const checked = toUser(user);
  if (checked instanceof Refusal) return checked;
  if (info === undefined) return undefined;
  if (!fitsBytes(info, infoBytesMax)) {
    return new Refusal(
      "member_too_large",
      `What a member says of itself must have at most ${infoBytesMax} bytes (BATON_MEMBER_INFO_BYTES).`,
    );
  }
  return checkData(info, infoBytesMax);
}

/** Refuses (`message_too_large`, `invalid_message`) a text that could not be delivered byte for byte. */
export function checkMessage(message: string, maxBytes: number): Refusal | undefined {
  if (!fitsBytes(message, maxBytes)) {
    return new Refusal(
      "message_too_large",
      `A message must have at most ${maxBytes} bytes in UTF-8 (BATON_MESSAGE_BYTES).`,
    );
  }
  if (!message.isWellFormed()) {
    return new Refusal(
      "invalid_message",
      "The message must be well-formed Unicode: UTF-8 cannot express a lone surrogate.",
    );
  }
  return undefined;
}

/** The deepest nesting of JSON data. The parsers of some clients fail beyond it. */
const DATA_DEPTH_MAX = 128;

/**
 * Refuses (`message_too_large`, `invalid_message`) JSON text that some clients could not read. The text must be valid
 * JSON. A plain socket receives the content of a JSON string, so that must be well-formed too.
 */
export function checkData(json: string, maxBytes: number): Refusal | undefined {
  const refusal = checkMessage(json, maxBytes);
  if (refusal !== undefined) return refusal;
  if (json[0] === '"') return checkMessage(JSON.parse(json), maxBytes);
  return isDeeper(json, DATA_DEPTH_MAX) ? tooDeep() : undefined;
}

export function tooDeep(): Refusal {
  return new Refusal(
    "invalid_message",
    `JSON data must be nested at most ${DATA_DEPTH_MAX} levels deep.`,
  );
}

/** Whether a text has something in it, without control characters and lone surrogates. Cost: its length, so check that first. */
function isLegible(text: string): boolean {
  return text !== "" && !CONTROL.test(text) && text.isWellFormed();
}

/** Refuses (`invalid_event`) a text that cannot be the name of an event. */
export function checkEvent(name: string): Refusal | undefined {
  if (fitsCharacters(name, EVENT_CHARACTERS_MAX) && isLegible(name)) return undefined;
  return new Refusal(
    "invalid_event",
    `The name of an event must have 1 to ${EVENT_CHARACTERS_MAX} characters, without control characters or lone surrogates, such as order-shipped.`,
  );
}

/** Refuses (`invalid_idempotency_key`) a text that cannot be a key. */
export function checkIdempotencyKey(key: string): Refusal | undefined {
  if (fitsBytes(key, IDEMPOTENCY_KEY_BYTES_MAX) && isLegible(key)) return undefined;
  return new Refusal(
    "invalid_idempotency_key",
    `An idempotency key must be a text of 1 to ${IDEMPOTENCY_KEY_BYTES_MAX} bytes in UTF-8, without control characters or lone surrogates, such as a UUID.`,
  );
}

/** Refuses (`invalid_idempotency_key`) a header that cannot be a key: other characters do not pass all HTTP software unharmed. */
export function checkIdempotencyHeader(key: string): Refusal | undefined {
  if (/^[\x21-\x7e]{1,255}$/.test(key)) return undefined;
  return new Refusal(
    "invalid_idempotency_key",
    "The header Idempotency-Key must be 1 to 255 visible ASCII characters, such as a UUID. The field idempotency_key takes any text.",
  );
}
