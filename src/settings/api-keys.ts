// The keys of the backend and what each of them opens, of the table in definitions.ts: key, key:read, key:publish@news:+read.
// A key that opens less than it should is found at the first call, and one that opens more never: so nothing here is guessed.
import { checkTopic } from "../relay/text/checks";
import { itemsOf, prefixOf, readBy, type Setting } from "./kinds";

/** What keys can open, in the order in which people are told. */
const SCOPES = ["publish", "read", "register", "manage", "metrics"] as const;

/** Those that can be limited to the topics whose names begin with a prefix. */
const LIMITED = /^(publish|read|manage)@(.+)$/;

type Scope = (typeof SCOPES)[number];

/** For each scope of a key the prefixes of the topics for which it has it, or "any". */
type Scopes = Partial<Record<Scope, "any" | readonly string[]>>;

export interface ApiKey {
  readonly key: string;
  readonly scopes: Readonly<Scopes>;
}

const ALL: Scopes = Object.fromEntries(SCOPES.map((scope) => [scope, "any"]));

const ENTRY = /^[\x21-\x7e]{1,4096}$/;
const KEY_CHARACTERS_MAX = 512;

/** Each request is compared with all of them. */
const KEYS_MAX = 1_000;

const ABOUT_SCOPES = `Scopes are ${SCOPES.join(", ")}, joined by +, or all; publish, read and manage may be limited to topics by the beginning of their names, as in key:publish@news:+read`;

export const API_KEYS: Setting<readonly ApiKey[]> = {
  variable: "BATON_API_KEYS",
  secret: "lines",
  inFile: "list",
  default: "",
  allowed: `a comma-separated list of at most ${KEYS_MAX} keys without spaces, each alone or with its scopes: key:publish+read`,
  description: `The keys of your backend. Once there is one, registering, unregistering, publishing, history, presence, users, metrics and /api require a key. Several keys let you replace one without an interruption. A key alone opens all of that, and one with scopes only what they name. ${ABOUT_SCOPES}. If it is not set, all of that is open, which is allowed on loopback only.`,
  ...readBy(keysOf),
};

/** The keys in a text, or what is wrong with it, which shows no part of a key. */
function keysOf(text: string): readonly ApiKey[] | string {
  const entries = itemsOf(text);
  if (entries.length > KEYS_MAX)
    return `has ${entries.length} keys, of which there may be ${KEYS_MAX}`;
  const keys = new Map<string, ApiKey>();
  for (const [i, entry] of entries.entries()) {
    const which = `key ${i + 1} of its ${entries.length}`;
    if (!ENTRY.test(entry))
      return `must have keys of visible ASCII characters, but ${which} is empty, too long or has others`;
    const key = keyOf(entry);
    if (key === undefined) {
      return `has a colon in ${which}, and no list of scopes after it. ${ABOUT_SCOPES}; %2C, %2B, %25 and %2A stand there for , + % and *. A key that has a colon in itself ends with its scopes, or with :all`;
    }
    const isAgain = JSON.stringify(keys.get(key.key) ?? key) !== JSON.stringify(key);
    if (isAgain)
      return `must name each key once, but has that of ${which} with other scopes too: join them with +`;
    keys.set(key.key, key);
  }
  return [...keys.values()];
}

/** The scopes begin after the first colon from which on everything is scopes. Undefined where there is a colon without. */
function keyOf(entry: string): ApiKey | undefined {
  if (!entry.includes(":"))
    return entry.length > KEY_CHARACTERS_MAX ? undefined : { key: entry, scopes: ALL };
  for (let colon = entry.indexOf(":"); colon >= 0; colon = entry.indexOf(":", colon + 1)) {
    const scopes = scopesOf(entry.slice(colon + 1));
    if (scopes === undefined) continue;
    const isKey = colon > 0 && colon <= KEY_CHARACTERS_MAX;
    return isKey ? { key: entry.slice(0, colon), scopes } : undefined;
  }
  return undefined;
}

function scopesOf(text: string): Scopes | undefined {
  if (text === "all") return ALL;
  const scopes: Scopes = {};
  for (const part of text.split("+")) {
    const whole = SCOPES.find((scope) => scope === part);
    const [, limited, encoded = ""] = LIMITED.exec(part) ?? [];
    if (whole !== undefined) scopes[whole] = "any";
    else {
      const prefix = prefixOf(encoded);
      if (limited === undefined || prefix === undefined || checkTopic(prefix) !== undefined)
        return undefined;
      const before = scopes[limited as Scope] ?? [];
      if (before !== "any") scopes[limited as Scope] = [...before, prefix];
    }
  }
  return scopes;
}
