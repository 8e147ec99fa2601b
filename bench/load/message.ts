// The layout of a bench message: its sender, its sequence number at that sender, when it was due, padding.
// It has fixed places and only digits, so that writing and reading one is a few additions and no string.

/** Bytes of a message unless a scenario says otherwise, and the least. It is ASCII, so this is also its length as a text. */
export const MESSAGE_BYTES = 64;

const SENDER_AT = 0;
const SENDER_DIGITS = 2;
const SEQUENCE_AT = 3;
const SEQUENCE_DIGITS = 10;
const DUE_AT = 14;
const DUE_DIGITS = 16;
const PADDING = "x".charCodeAt(0);
const ZERO = "0".charCodeAt(0);

/** Senders whose number fits into the message's two digits. */
export const SENDERS_MAX = 100;

function digits(value: number, width: number): string {
  return String(value).padStart(width, "0");
}

function writeDigits(bytes: Uint8Array, at: number, width: number, value: number): void {
  let rest = value;
  for (let i = at + width - 1; i >= at; i--) {
    const tenth = Math.floor(rest / 10);
    bytes[i] = ZERO + rest - tenth * 10;
    rest = tenth;
  }
}

function readDigits(bytes: Uint8Array, at: number, width: number): number {
  let value = 0;
  for (let i = at; i < at + width; i++) value = value * 10 + (bytes[i] ?? 0) - ZERO;
  return value;
}

/** The first message of a sender, as a text of this length. */
export function firstMessage(sender: number, length: number): string {
  const start = `${digits(sender, SENDER_DIGITS)} ${digits(0, SEQUENCE_DIGITS)} ${digits(0, DUE_DIGITS)} `;
  return start.padEnd(length, "x");
}

/** Puts the sequence number and the due time (microseconds) into the message that starts at `at`. */
export function stamp(bytes: Uint8Array, at: number, sequence: number, dueUs: number): void {
  writeDigits(bytes, at + SEQUENCE_AT, SEQUENCE_DIGITS, sequence);
  writeDigits(bytes, at + DUE_AT, DUE_DIGITS, dueUs);
}

export function senderOf(bytes: Uint8Array, at: number): number {
  return readDigits(bytes, at + SENDER_AT, SENDER_DIGITS);
}

export function sequenceOf(bytes: Uint8Array, at: number): number {
  return readDigits(bytes, at + SEQUENCE_AT, SEQUENCE_DIGITS);
}

export function dueUsOf(bytes: Uint8Array, at: number): number {
  return readDigits(bytes, at + DUE_AT, DUE_DIGITS);
}

/**
 * Whether the message ends with the padding it was sent with. Of a long message this looks at every few bytes and at the last,
 * so that it costs the load client as little as a short one.
 */
export function isPadded(bytes: Uint8Array, at: number, length: number): boolean {
  const step = Math.ceil(length / (2 * MESSAGE_BYTES));
  for (let i = at + DUE_AT + DUE_DIGITS + 1; i < at + length; i += step) {
    if (bytes[i] !== PADDING) return false;
  }
  return bytes[at + length - 1] === PADDING;
}
