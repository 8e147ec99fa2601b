// Query parameters, read strictly: a route accepts only the parameters that it names, each at most once.
import { Refusal } from "../../relay/contracts/errors";

type Query = ReadonlyMap<string, string>;

/** The parameters of a URL. Refuses (`invalid_query`) text that is not UTF-8, unknown parameters and repeated ones. */
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
    if (!names.includes(name)) return new Refusal("invalid_query", allowedNames(names));
    if (found.has(name)) return new Refusal("invalid_query", `${name} may be given only once.`);
    found.set(name, value);
  }
  return found;
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
  const value = given.get(name) ?? "";
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
  const value = given.get(name);
  if (value === undefined) return undefined;
  const number = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  return new Refusal("invalid_query", `${name} must be a whole number from 0 to 9007199254740991.`);
}

/** The items of a comma-separated list. An empty parameter is an empty list; one that is not given is undefined. */
export function listOf(given: Query, name: string): readonly string[] | undefined {
  const value = given.get(name);
  if (value === undefined) return undefined;
  return value === "" ? [] : value.split(",");
}

/** URLSearchParams would repair broken UTF-8 silently, and so read another topic than the one that was meant. */
function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
