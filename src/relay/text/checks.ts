// What text may be a topic name, a user or a message. Whatever passes here is well-formed Unicode:
// Bun's native topics are UTF-8, where all lone surrogates would become one and the same topic.
import { Refusal } from "../contracts/errors";
import { isDeeper } from "./json";

/** Longest topic name, in bytes of UTF-8; the field's usual bound (the Centrifuge protocol has it too). */
export const TOPIC_BYTES_MAX = 255;

/** Longest user id given as text, in characters (code points). */
export const USER_CHARACTERS_MAX = 128;

// C0, DEL and C1: none is visible, and each can forge a line or move a cursor somewhere.
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

const encoder = new TextEncoder();
const scratch = new Uint8Array(4 * TOPIC_BYTES_MAX);

/** Whether `text` takes at most `max` bytes of UTF-8. Cost: nothing for short text, else its length. */
export function fitsBytes(text: string, max: number): boolean {
  if (text.length * 3 <= max) return true;
  if (text.length > max) return false;
  if (max > scratch.length) return encoder.encode(text).length <= max;
  const { read, written } = encoder.encodeInto(text, scratch);
  return read === text.length && written <= max;
}

/** Refuses (`invalid_topic`) what cannot be a topic name. */
export function checkTopic(name: string): Refusal | undefined {
  if (name === "") return new Refusal("invalid_topic", "A topic name must not be empty.");
  if (!fitsBytes(name, TOPIC_BYTES_MAX)) {
    return new Refusal(
      "invalid_topic",
      `A topic name may have at most ${TOPIC_BYTES_MAX} bytes of UTF-8.`,
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

/** Refuses (`invalid_topic`, `too_many_topics`) what cannot be the topics of one connection. */
export function checkTopics(names: ReadonlySet<string>, max: number): Refusal | undefined {
  if (names.size > max) {
    return new Refusal(
      "too_many_topics",
      `A connection may have at most ${max} topics (BATON_CONNECTION_TOPICS_MAX).`,
    );
  }
  for (const name of names) {
    const refusal = checkTopic(name);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

/**
 * The user that a `user_id` names: whole numbers and their decimal text are the same user.
 * Refuses (`invalid_user`) everything but whole numbers from 0 to 2^53-1 and non-empty text.
 */
export function toUser(value: number | string): string | Refusal {
  if (typeof value === "number") {
    if (Number.isSafeInteger(value) && value >= 0) return String(value);
    return new Refusal(
      "invalid_user",
      "A user_id that is a number must be whole, from 0 to 9007199254740991; give larger ones as text.",
    );
  }
  if (value === "") return new Refusal("invalid_user", "A user_id must not be empty.");
  // A code point takes at most two UTF-16 units, so only what is in between must be counted.
  if (
    value.length > USER_CHARACTERS_MAX &&
    (value.length > 2 * USER_CHARACTERS_MAX || [...value].length > USER_CHARACTERS_MAX)
  ) {
    return new Refusal(
      "invalid_user",
      `A user_id may have at most ${USER_CHARACTERS_MAX} characters.`,
    );
  }
  if (!value.isWellFormed()) {
    return new Refusal(
      "invalid_user",
      "A user_id must be well-formed Unicode, without lone surrogates.",
    );
  }
  return value;
}

/** Refuses (`message_too_large`, `invalid_message`) what cannot be sent byte for byte. */
export function checkMessage(message: string, maxBytes: number): Refusal | undefined {
  if (!fitsBytes(message, maxBytes)) {
    return new Refusal(
      "message_too_large",
      `A message may have at most ${maxBytes} bytes of UTF-8 (BATON_MESSAGE_BYTES).`,
    );
  }
  if (!message.isWellFormed()) {
    return new Refusal(
      "invalid_message",
      "The message must be well-formed Unicode: a lone surrogate cannot be sent as UTF-8.",
    );
  }
  return undefined;
}

/** Deepest nesting of JSON data: beyond it, parsers of some clients give up. */
export const DATA_DEPTH_MAX = 128;

/**
 * Refuses (`message_too_large`, `invalid_message`) JSON text that not every client could read. The text is valid
 * JSON. A JSON string goes out as its content on a plain socket, so that must be well-formed too.
 */
export function checkData(json: string, maxBytes: number): Refusal | undefined {
  const refusal = checkMessage(json, maxBytes);
  if (refusal !== undefined) return refusal;
  if (json[0] === '"') return checkMessage(JSON.parse(json), maxBytes);
  if (isDeeper(json, DATA_DEPTH_MAX)) {
    return new Refusal(
      "invalid_message",
      `JSON data may be nested at most ${DATA_DEPTH_MAX} levels deep.`,
    );
  }
  return undefined;
}

/** Refuses (`invalid_idempotency_key`) what cannot be a key, also as the value of a header. */
export function checkIdempotencyKey(key: string): Refusal | undefined {
  if (/^[\x21-\x7e]{1,255}$/.test(key)) return undefined;
  return new Refusal(
    "invalid_idempotency_key",
    "An idempotency key must be 1 to 255 visible ASCII characters, such as a UUID.",
  );
}
