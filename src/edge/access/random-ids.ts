// Names that nobody can guess: of connections, of registrations, and of the lives of histories.
import { getRandomValues } from "node:crypto";

/** 128 random bits, because anyone who knows the id can connect with it. */
export function newId(): string {
  return getRandomValues(new Uint8Array(16)).toHex();
}

/** 8 random letters, so that no epoch of a topic is taken for another one. */
export function newEpoch(): string {
  const letters = getRandomValues(new Uint8Array(8)).map((byte) => 0x61 + (byte % 26));
  return String.fromCharCode(...letters);
}

/** Two numbers of 53 random bits. It is no secret, but by guessing it nobody should be able to leave out others. */
export function newSocketId(): string {
  const [first = 0n, second = 0n] = getRandomValues(new BigUint64Array(2));
  return `${first >> 11n}.${second >> 11n}`;
}
