// API keys: they decide who may register, unregister, publish and query. A relay without keys lets everybody do so.
import { createHash, timingSafeEqual } from "node:crypto";
import { Refusal } from "../../relay/contracts/errors";

/** Refuses (`unauthorized`) a request that has none of the keys. Takes the same time whichever key matches. */
export type KeyCheck = (headers: Headers) => Refusal | undefined;

export class ApiKeys {
  #digests: readonly Buffer[] = [];

  constructor(keys: readonly string[]) {
    this.replace(keys);
  }

  /** From now on these are the keys. */
  replace(keys: readonly string[]): void {
    this.#digests = keys.map(digest);
  }

  /** Whether a request has one of the keys, which nobody has where there are none. */
  readonly has = (headers: Headers): boolean =>
    this.#digests.length > 0 && givenKey(headers) !== "" && this.check(headers) === undefined;

  readonly check: KeyCheck = (headers) => {
    const digests = this.#digests;
    if (digests.length === 0) return undefined;
    // timingSafeEqual needs inputs of equal length. Digests have that, and they hide the key's own length.
    const given = digest(givenKey(headers));
    let matches = false;
    for (const known of digests) matches = timingSafeEqual(known, given) || matches;
    if (matches) return undefined;
    return new Refusal(
      "unauthorized",
      "Send one of the relay's API keys: X-API-Key: <key>, or Authorization: apikey <key>.",
    );
  };
}

function digest(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

function givenKey(headers: Headers): string {
  return (
    headers.get("x-api-key") ??
    /^apikey +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1] ??
    ""
  );
}
