// Query parameters, strictly: only those that a route takes, each at most once.
import { Refusal } from "../../relay/contracts/errors";

export type Query = ReadonlyMap<string, string>;

/** The parameters of a URL; refuses (`invalid_query`) what is not UTF-8, not among `names` or stands twice. */
export function query(url: string, names: readonly string[]): Query | Refusal {
  const begin = url.indexOf("?");
  const found = new Map<string, string>();
  if (begin < 0) return found;
  if (!isDecodable(url.slice(begin))) {
    return new Refusal(
      "invalid_query",
      "The query is not percent-encoded UTF-8 (RFC 3986, section 2.5).",
    );
  }
  for (const [name, value] of new URLSearchParams(url.slice(begin))) {
    if (!names.includes(name)) {
      return new Refusal("invalid_query", `This route takes the parameters ${names.join(", ")}.`);
    }
    if (found.has(name)) return new Refusal("invalid_query", `${name} may be given only once.`);
    found.set(name, value);
  }
  return found;
}

/** The row that a parameter names; "" is that of a parameter which is not given. */
export function choiceOf<Value>(
  given: Query,
  name: string,
  rows: Readonly<Record<string, Value>>,
): Value | Refusal {
  const value = given.get(name) ?? "";
  const row = Object.hasOwn(rows, value) ? rows[value] : undefined;
  if (row !== undefined) return row;
  const allowed = Object.keys(rows).filter((key) => key !== "");
  return new Refusal("invalid_query", `${name} takes ${allowed.join(" or ")}.`);
}

/** Whether a parameter is true; not when it is not given. */
export function flagOf(given: Query, name: string): boolean | Refusal {
  return choiceOf(given, name, FLAGS);
}

const FLAGS = { "": false, false: false, true: true, "0": false, "1": true };

/** A whole number from 0; undefined when it is not given. */
export function wholeOf(given: Query, name: string): number | undefined | Refusal {
  const value = given.get(name);
  if (value === undefined) return undefined;
  const number = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  return new Refusal("invalid_query", `${name} takes a whole number from 0 to 9007199254740991.`);
}

/** The items of a comma-separated list; none when it is empty, undefined when it is not given. */
export function listOf(given: Query, name: string): readonly string[] | undefined {
  const value = given.get(name);
  if (value === undefined) return undefined;
  return value === "" ? [] : value.split(",");
}

/** URLSearchParams would repair what is not, into another topic than the one that was meant. */
function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
