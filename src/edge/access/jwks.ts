// Public keys for tokens that an address publishes as a JWK Set (RFC 7517, section 5). Whatever tokens arrive and whatever
// the address answers, the relay asks it rarely, waits for it briefly, and reads its answer up to a limit.
import { createLocalJWKSet, errors, type FlattenedJWSInput, type JWTVerifyGetKey } from "jose";
import type { Log } from "../../log";
import { KeysUnavailable } from "../../relay/contracts/tokens";

/** How long a key set is used before it is fetched again; a key that was taken out of it is refused after that. */
const FRESH_MS = 600_000;

/** How much longer a key set is used while the address cannot be reached. */
const STALE_MS = 3_600_000;

/** The shortest time between two requests, after one that succeeded and after one that failed. */
const REFETCH_MS = 10_000;
const RETRY_MS = 2_000;

const REQUEST_TIMEOUT_MS = 5_000;

const KEY_SET_BYTES_MAX = 1_048_576;

/**
 * The keys at an address, in the form that jose takes. Rejects with JOSEError for a token that none of them fits, and
 * with KeysUnavailable while there are no keys at all, or the token may be signed with a key that is newer than the set:
 * while keys are changed, clients must not be refused for good. `now` is in ms.
 */
export function keysAt(url: string, log: Log, now = () => performance.now()): JWTVerifyGetKey {
  let set: JWTVerifyGetKey | undefined;
  let fetchedAt = 0;
  /** The same by the clock on the wall, in ms. */
  let fetchedAtTime = 0;
  let nextFetchAt = Number.NEGATIVE_INFINITY;
  let pending: Promise<void> | undefined;

  const refresh = async (): Promise<void> => {
    try {
      set = createLocalJWKSet(JSON.parse(await download(url)));
      fetchedAt = now();
      fetchedAtTime = Date.now();
      nextFetchAt = fetchedAt + REFETCH_MS;
    } catch (error) {
      nextFetchAt = now() + RETRY_MS;
      log.warn({ err: error }, "the key set (BATON_TOKEN_JWKS_URL) could not be fetched");
    }
  };
  /** Sends one request at a time, however many tokens wait for it. */
  const fetchOnce = async (): Promise<void> => {
    if (pending === undefined && now() < nextFetchAt) return;
    pending ??= refresh().finally(() => {
      pending = undefined;
    });
    await pending;
  };
  const find: JWTVerifyGetKey = async (header, token) => {
    if (set === undefined || now() >= fetchedAt + FRESH_MS + STALE_MS) {
      throw new KeysUnavailable("the key set could not be fetched");
    }
    try {
      return await set(header, token);
    } catch (error) {
      if (error instanceof errors.JOSEError) throw error;
      // The set has this key, but it is not a valid one.
      throw new errors.JWKSInvalid(undefined, { cause: error });
    }
  };
  return async (header, token) => {
    if (set === undefined || now() >= fetchedAt + FRESH_MS) await fetchOnce();
    try {
      return await find(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      await fetchOnce();
      try {
        return await find(header, token);
      } catch (missing) {
        if (!wasIssuedAfter(token, fetchedAtTime)) throw missing;
        throw new KeysUnavailable("the token is newer than the key set");
      }
    }
  };
}

/** Whether an unverified token says that it was issued after this moment, or in the same second. */
function wasIssuedAfter({ payload }: FlattenedJWSInput, time: number): boolean {
  try {
    const { iat } = JSON.parse(Buffer.from(String(payload), "base64url").toString("utf8"));
    return typeof iat === "number" && iat >= Math.floor(time / 1_000);
  } catch {
    return false;
  }
}

/** The text at an address. Redirects are refused, because they could lead anywhere. */
async function download(url: string): Promise<string> {
  const response = await fetch(url, {
    redirect: "error",
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    headers: { accept: "application/jwk-set+json, application/json" },
  });
  if (response.status !== 200)
    throw new Error(`the address answered with status ${response.status}`);
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let length = 0;
  for await (const bytes of response.body ?? []) {
    length += bytes.length;
    // Leaving the loop ends the download.
    if (length > KEY_SET_BYTES_MAX) {
      throw new Error(`the address answered with more than ${KEY_SET_BYTES_MAX} bytes`);
    }
    text += decoder.decode(bytes, { stream: true });
  }
  return text + decoder.decode();
}
