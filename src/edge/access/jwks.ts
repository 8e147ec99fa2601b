// Public keys of tokens that an address publishes (a JWK Set; RFC 7517, section 5). Whatever tokens come and whatever
// the address answers, it is asked seldom, waited for briefly, and read up to a bound.

import { createLocalJWKSet, errors, type JWTVerifyGetKey } from "jose";
import type { Log } from "../../log";
import { KeysUnavailable } from "../../relay/contracts/tokens";

/** How long a set is good for; a key that is taken out of it opens nothing after that. */
const FRESH_MS = 600_000;

/** How long after that it still is where the address gives no new one. */
const STALE_MS = 3_600_000;

/** Pauses between two questions: after an answer, for keys that are not in it, and after none. */
const PAUSE_MS = 10_000;
const RETRY_MS = 2_000;

const PATIENCE_MS = 5_000;

const SET_BYTES_MAX = 1_048_576;

/**
 * The keys of this address for jose. Rejects with JOSEError for a token that none of them fits, with KeysUnavailable
 * while there are none at all. `now` is in ms.
 */
export function keysAt(url: string, log: Log, now = () => performance.now()): JWTVerifyGetKey {
  let set: JWTVerifyGetKey | undefined;
  let fetchedAt = 0;
  let mayAskAt = Number.NEGATIVE_INFINITY;
  let pending: Promise<void> | undefined;

  const refresh = async (): Promise<void> => {
    try {
      set = createLocalJWKSet(JSON.parse(await read(url)));
      fetchedAt = now();
      mayAskAt = fetchedAt + PAUSE_MS;
    } catch (error) {
      mayAskAt = now() + RETRY_MS;
      log.warn({ err: error }, "the keys of tokens (BATON_TOKEN_JWKS_URL) could not be fetched");
    }
  };
  /** One question at a time, however many tokens wait for it. */
  const ask = async (): Promise<void> => {
    if (pending === undefined && now() < mayAskAt) return;
    pending ??= refresh().finally(() => {
      pending = undefined;
    });
    await pending;
  };
  const find: JWTVerifyGetKey = async (header, token) => {
    if (set === undefined || now() >= fetchedAt + FRESH_MS + STALE_MS) {
      throw new KeysUnavailable("the keys of tokens could not be fetched");
    }
    try {
      return await set(header, token);
    } catch (error) {
      if (error instanceof errors.JOSEError) throw error;
      // A key of the set that is none.
      throw new errors.JWKSInvalid(undefined, { cause: error });
    }
  };
  return async (header, token) => {
    if (set === undefined || now() >= fetchedAt + FRESH_MS) await ask();
    try {
      return await find(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      await ask();
      return find(header, token);
    }
  };
}

/** The text at an address, which must be there itself: a redirect could lead anywhere. */
async function read(url: string): Promise<string> {
  const response = await fetch(url, {
    redirect: "error",
    signal: AbortSignal.timeout(PATIENCE_MS),
    headers: { accept: "application/jwk-set+json, application/json" },
  });
  if (response.status !== 200) throw new Error(`it answered ${response.status}`);
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let length = 0;
  for await (const bytes of response.body ?? []) {
    length += bytes.length;
    // Leaving the loop ends the download.
    if (length > SET_BYTES_MAX) throw new Error(`it answered more than ${SET_BYTES_MAX} bytes`);
    text += decoder.decode(bytes, { stream: true });
  }
  return text + decoder.decode();
}
