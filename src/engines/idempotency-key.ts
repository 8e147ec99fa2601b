// How an idempotency key is remembered, and how two publications under one key are compared: the same in every engine.
import type { Publication } from "../relay/contracts/publication";

/** A longer name is remembered as its hash, so that a key takes about as much as any other, however long it is. */
const NAME_CHARACTERS_MAX = 128;

/** The name under which a key is remembered. A key counts within its topic, whose name has no line feed. */
export function nameOf({ topic }: Publication, key: string): string {
  const name = `${key}\n${topic}`;
  return name.length > NAME_CHARACTERS_MAX ? hashOf(name) : name;
}

/** Nobody finds two names with the same hash: it is SHA-256. */
function hashOf(name: string): string {
  return new Bun.CryptoHasher("sha256").update(name).digest("base64url");
}

/**
 * Tells publications apart without keeping them: 64 bits of wyhash. The lengths say where each text ends. JSON.stringify would take
 * half of what remembering a key costs.
 */
export function fingerprint({ data, json, user, except, event }: Publication): bigint | number {
  const lengths = `${json === true} ${user?.length} ${except?.length}`;
  const texts = `${lengths} ${user ?? ""}${except ?? ""}${data}`;
  // Without an event it stays what older versions have kept.
  return Bun.hash(event === undefined ? texts : `${event.length} ${event}${texts}`);
}
