// How an idempotency key is remembered, and how two publications under one key are compared: the same in every engine.
import type { Publication } from "../relay/contracts/publication";

/** The name under which a key is remembered. A key counts within its topic; neither has control characters. */
export function nameOf({ topic }: Publication, key: string): string {
  return `${key}\n${topic}`;
}

/** Tells publications apart without keeping them: 64 bits of wyhash. */
export function fingerprint({ data, json, user, except }: Publication): bigint | number {
  return Bun.hash(JSON.stringify([json === true, user, except, data]));
}
