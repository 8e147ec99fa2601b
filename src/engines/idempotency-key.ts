// How an idempotency key is remembered, and how two publications under one key are compared: the same in every engine.
import type { Publication } from "../relay/contracts/publication";

/** What a key is remembered by: it counts in its topic. Neither has control characters. */
export function nameOf({ topic }: Publication, key: string): string {
  return `${key}\n${topic}`;
}

/** Tells publications apart without keeping them; 64 bits of wyhash. */
export function fingerprint({ data, json, user, except }: Publication): bigint | number {
  return Bun.hash(JSON.stringify([json === true, user, except, data]));
}
