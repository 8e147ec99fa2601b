// API keys: they decide who may register, publish, read and manage, and each may open only a part of that. A relay without keys
// lets everybody do so.
import { hash, timingSafeEqual } from "node:crypto";
import { Refusal } from "../../relay/contracts/errors";
import type { Settings } from "../../settings/definitions";
import { KeyLimits } from "./limits/key-limits";

type ApiKey = Settings["apiKeys"][number];

/** What a key may open; docs/access.md has the table. */
export type Scope = keyof ApiKey["scopes"];

/** What the key of a request opens. A request that stays open learns here that the key was removed or its scopes have changed. */
export class Grants {
  /** Undefined when the key is gone. */
  #scopes: ApiKey["scopes"] | undefined;
  /** How often it may be used. */
  readonly limits: KeyLimits;

  constructor(scopes: ApiKey["scopes"], limits: KeyLimits) {
    this.#scopes = scopes;
    this.limits = limits;
  }

  /** From now on the key has these scopes; undefined when it was removed. */
  become(scopes: ApiKey["scopes"] | undefined): void {
    this.#scopes = scopes;
  }

  /** Refuses (`missing_scope`) what needs a scope for a topic or, where none is given, for all topics. */
  check(scope: Scope, topic?: string): Refusal | undefined {
    const prefixes = this.#scopes?.[scope];
    if (prefixes === "any") return undefined;
    if (this.#scopes === undefined) return unauthorized();
    if (prefixes === undefined || topic === undefined) return missing(scope, topic);
    for (const prefix of prefixes) if (topic.startsWith(prefix)) return undefined;
    return missing(scope, topic);
  }

  /** Refuses (`missing_scope`) a key that has the scope for no topic at all. */
  checkSome(scope: Scope): Refusal | undefined {
    return this.#scopes?.[scope] === undefined ? this.check(scope) : undefined;
  }
}

/** Those of everybody, where there are no keys. */
const OPEN = new Grants(
  {
    publish: "any",
    read: "any",
    register: "any",
    manage: "any",
    metrics: "any",
  },
  new KeyLimits({ keyRequestsMax: 0, keyPublicationsMax: 0 }),
);

interface KnownKey {
  readonly digest: Buffer;
  readonly grants: Grants;
}

export class ApiKeys {
  #known: readonly KnownKey[] = [];
  readonly #newLimits: () => KeyLimits;

  constructor(keys: Settings["apiKeys"], newLimits: () => KeyLimits) {
    this.#newLimits = newLimits;
    this.replace(keys);
  }

  /** From now on these are the keys. */
  replace(keys: Settings["apiKeys"]): void {
    const gone = new Set(this.#known);
    this.#known = keys.map(({ key, scopes }) => {
      const digest = digestOf(key);
      const before = this.#known.find((one) => one.digest.equals(digest));
      if (before === undefined) return { digest, grants: new Grants(scopes, this.#newLimits()) };
      gone.delete(before);
      before.grants.become(scopes);
      return before;
    });
    for (const { grants } of gone) grants.become(undefined);
  }

  /** Whether a request has one of the keys, which nobody has where there are none. */
  readonly has = (headers: Headers): boolean =>
    this.#known.length > 0 && givenKey(headers) !== "" && this.of(headers) instanceof Grants;

  /** What the key of a request opens. Refuses (`unauthorized`) one that has none of the keys. Takes the same time whichever matches. */
  readonly of = (headers: Headers): Grants | Refusal => {
    const known = this.#known;
    if (known.length === 0) return OPEN;
    // timingSafeEqual needs inputs of equal length. Digests have that, and they hide the key's own length.
    const given = digestOf(givenKey(headers));
    let found: Grants | undefined;
    for (const { digest, grants } of known) if (timingSafeEqual(digest, given)) found = grants;
    return found ?? unauthorized();
  };

  /**
   * Counts a request. Refuses (`unauthorized`, `missing_scope`) one whose key does not open this, as Grants.check, and one too
   * many (`too_many_key_requests`).
   */
  readonly check = (headers: Headers, scope: Scope, topic?: string): Refusal | undefined => {
    const grants = this.of(headers);
    if (grants instanceof Refusal) return grants;
    return grants.check(scope, topic) ?? grants.limits.countRequest();
  };
}

function unauthorized(): Refusal {
  return new Refusal(
    "unauthorized",
    "Send one of the relay's API keys: X-API-Key: <key>, or Authorization: apikey <key>.",
  );
}

/** Says what would have to stand behind the key in BATON_API_KEYS. */
function missing(scope: Scope, topic: string | undefined): Refusal {
  const where = topic === undefined ? "" : ` for the topic ${JSON.stringify(topic)}`;
  return new Refusal(
    "missing_scope",
    `This API key lacks the scope ${scope}${where}. BATON_API_KEYS says what each key opens.`,
  );
}

/** In one call, which costs half of what createHash does. */
function digestOf(key: string): Buffer {
  return hash("sha256", key, "buffer");
}

function givenKey(headers: Headers): string {
  return (
    headers.get("x-api-key") ??
    /^apikey +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1] ??
    ""
  );
}
