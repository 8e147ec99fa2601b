// JSON as text: parts are cut out as they stand, since JSON.parse would round large integers, and 1.0 would come out
// as 1. Every text here has passed JSON.parse.

/** Where the string that begins at `start` has its closing quote. */
export function stringEnd(json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); ; end = json.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (json[end - 1 - backslashes] === "\\") backslashes++;
    if (backslashes % 2 === 0) return end;
  }
}

/** Whether arrays and objects are nested deeper than this. */
export function isDeeper(json: string, max: number): boolean {
  let depth = 0;
  for (let i = 0; i < json.length; i++) {
    const c = json.charCodeAt(i);
    if (c === 0x22) i = stringEnd(json, i);
    else if (c === 0x7b || c === 0x5b) {
      if (++depth > max) return true;
    } else if (c === 0x7d || c === 0x5d) depth--;
  }
  return false;
}

/**
 * The text of a member's value, for the object at the top, or for each item of an array at the top; undefined where
 * there is none. Of two members with this name the last counts, as for JSON.parse. Cost: the text's length.
 */
export function rawMembers(json: string, name: string): (string | undefined)[] {
  let at = skipSpace(json, 0);
  if (json[at] !== "[") return [memberOf(json, at, name).value];
  const values: (string | undefined)[] = [];
  at = skipSpace(json, at + 1);
  while (json[at] !== "]") {
    const { value, end } = memberOf(json, at, name);
    values.push(value);
    at = skipSpace(json, end);
    if (json[at] === ",") at = skipSpace(json, at + 1);
  }
  return values;
}

/** The text of a member within members, by their names from the top. */
export function rawMember(json: string, ...path: string[]): string | undefined {
  let text: string | undefined = json;
  for (const name of path) text = text === undefined ? undefined : rawMembers(text, name)[0];
  return text;
}

function memberOf(
  json: string,
  start: number,
  name: string,
): { value: string | undefined; end: number } {
  if (json[start] !== "{") return { value: undefined, end: skipValue(json, start) };
  let value: string | undefined;
  let at = skipSpace(json, start + 1);
  while (json[at] !== "}") {
    const keyEnd = stringEnd(json, at) + 1;
    const key: string = JSON.parse(json.slice(at, keyEnd));
    // Past the colon.
    const begin = skipSpace(json, skipSpace(json, keyEnd) + 1);
    const end = skipValue(json, begin);
    if (key === name) value = json.slice(begin, end);
    at = skipSpace(json, end);
    if (json[at] === ",") at = skipSpace(json, at + 1);
  }
  return { value, end: at + 1 };
}

function skipSpace(json: string, start: number): number {
  let at = start;
  while (json.charCodeAt(at) <= 0x20) at++;
  return at;
}

/** Where the value that begins at `start` ends. */
function skipValue(json: string, start: number): number {
  const first = json[start];
  if (first === '"') return stringEnd(json, start) + 1;
  if (first !== "{" && first !== "[") {
    let at = start;
    while (at < json.length && !/[\s,\]}]/.test(json[at] as string)) at++;
    return at;
  }
  let depth = 0;
  for (let at = start; ; at++) {
    const c = json[at];
    if (c === '"') at = stringEnd(json, at);
    else if (c === "{" || c === "[") depth++;
    else if ((c === "}" || c === "]") && --depth === 0) return at + 1;
  }
}
