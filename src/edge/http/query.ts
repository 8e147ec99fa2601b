// Query parameters. The routes of backends read them strictly, because a misspelt parameter would change what a request
// does silently. Addresses that clients connect to are different: polyfills and proxies add parameters of their own.
import { Refusal } from "../../relay/contracts/errors";
import { searchOf } from "../access/address";

/** The values of each parameter that is given, at least one for each, in their order. */
export type Query = ReadonlyMap<string, readonly string[]>;

/** The parameters of a URL. Refuses (`invalid_query`) text that is not UTF-8, unknown parameters and repeated ones. */
export function query(url: string, names: readonly string[]): Query | Refusal {
  const found = new Map<string, string[]>();
  for (const [name, value] of pairs(url)) {
    if (name === undefined || value === undefined) return notDecodable();
    if (!names.includes(name)) return new Refusal("invalid_query", allowedNames(names));
    if (found.has(name)) return givenTwice(name);
    found.set(name, [value]);
  }
  return found;
}

interface ClientParameters {
  readonly names: readonly string[];
  /** Those of `names` that may be given several times. */
  readonly repeated?: readonly string[];
  /** Parameters of other addresses, which would be ignored here in silence although somebody means something by them. */
  readonly elsewhere?: readonly string[];
}

/**
 * The parameters of an address that a client connects to. Unknown ones are ignored. Refuses (`invalid_query`) known ones
 * that are not UTF-8, misspelt, at another address than theirs, or repeated without being allowed to.
 */
export function clientQuery(
  url: string,
  { names, repeated = [], elsewhere = [] }: ClientParameters,
): Query | Refusal {
  const found = new Map<string, string[]>();
  // An address may have thousands of parameters, so a look at one must cost little.
  const known = new Map([...names, ...elsewhere].map((name) => [plain(name), name]));
  for (const [given, value] of pairs(url)) {
    if (given === undefined) continue;
    const name = known.get(plain(given));
    if (name === undefined) continue;
    if (elsewhere.includes(name)) {
      return new Refusal("invalid_query", `${name} is for streams (/sse/<id>), not for sockets.`);
    }
    if (name !== given && name !== LAST_EVENT_ID) {
      return new Refusal("invalid_query", `A parameter is misspelt: write ${name}.`);
    }
    if (value === undefined) return notDecodable();
    const values = found.get(name);
    if (values === undefined) found.set(name, [value]);
    else if (repeated.includes(name)) values.push(value);
    else return givenTwice(name);
  }
  return found;
}

/** What polyfills of EventSource send in place of a header. Each spells it differently, so every spelling is accepted. */
export const LAST_EVENT_ID = "lastEventId";

/** A name without what differs in its misspellings: `Topic`, `topics[]` and `topics` are the same. */
function plain(name: string): string {
  return name
    .toLowerCase()
    .replace(/[^a-z]/g, "")
    .replace(/s$/, "");
}

/** The names and values in a URL, each undefined where it is not percent-encoded UTF-8. */
function pairs(url: string): (string | undefined)[][] {
  return searchOf(url)
    .split("&")
    .filter((pair) => pair !== "")
    .map((pair) => {
      const end = pair.indexOf("=");
      return end < 0
        ? [decoded(pair), ""]
        : [decoded(pair.slice(0, end)), decoded(pair.slice(end + 1))];
    });
}

/** URLSearchParams would repair broken UTF-8 silently, and so read another topic than the one that was meant. */
export function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return undefined;
  }
}

function notDecodable(): Refusal {
  return new Refusal(
    "invalid_query",
    "The query is not percent-encoded UTF-8 (RFC 3986, section 2.5).",
  );
}

function givenTwice(name: string): Refusal {
  return new Refusal("invalid_query", `${name} may be given only once.`);
}

function allowedNames(names: readonly string[]): string {
  if (names.length === 0) return "This route takes no parameters.";
  return `This route takes only the parameters ${names.join(", ")}.`;
}

/** The row that a parameter names. The row "" is for a parameter that is not given. */
export function choiceOf<Value>(
  given: Query,
  name: string,
  rows: Readonly<Record<string, Value>>,
): Value | Refusal {
  const value = textOf(given, name) ?? "";
  const row = Object.hasOwn(rows, value) ? rows[value] : undefined;
  if (row !== undefined) return row;
  const allowed = Object.keys(rows).filter((key) => key !== "");
  return new Refusal("invalid_query", `${name} must be ${allowed.join(" or ")}.`);
}

/** Whether a parameter is true; one that is not given is false. */
export function flagOf(given: Query, name: string): boolean | Refusal {
  return choiceOf(given, name, FLAGS);
}

const FLAGS = { "": false, false: false, true: true, "0": false, "1": true };

/** A whole number from 0, or undefined for a parameter that is not given. */
export function wholeOf(given: Query, name: string): number | undefined | Refusal {
  const value = textOf(given, name);
  if (value === undefined) return undefined;
  const number = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  return new Refusal("invalid_query", `${name} must be a whole number from 0 to 9007199254740991.`);
}

/** A whole number within bounds, or undefined for a parameter that is not given. */
export function boundedOf(
  given: Query,
  name: string,
  { min, max }: { readonly min: number; readonly max: number },
): number | undefined | Refusal {
  const value = textOf(given, name);
  if (value === undefined) return undefined;
  const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
  if (number >= min && number <= max) return number;
  return new Refusal("invalid_query", `${name} must be a whole number from ${min} to ${max}.`);
}

/** The last value of a parameter, or undefined for one that is not given. */
export function textOf(given: Query, name: string): string | undefined {
  return given.get(name)?.at(-1);
}

/**
 * The items of a list: of a single value what its commas separate, where `%2C` (in an address `%252C`) stands for a comma
 * in an item; of several values each as it stands. An empty value is an empty list; one that is not given is undefined.
 */
export function listOf(given: Query, name: string): readonly string[] | undefined {
  const values = given.get(name);
  if (values === undefined || values.length > 1) return values;
  const [value = ""] = values;
  return value === "" ? [] : value.split(",").map((item) => item.replace(/%2c/gi, ","));
}
