// Cuts parts out of JSON text without changing a byte: JSON.parse would round large integers and turn 1.0 into 1.
// Every text that is cut here must have passed JSON.parse; none of this checks it again.

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OBJECT = 0x7b;
const OBJECT_END = 0x7d;
const ARRAY = 0x5b;
const ARRAY_END = 0x5d;

/** A text without the byte order mark that some programs write in front of JSON (RFC 8259, section 8.1, lets readers ignore it). */
export function withoutByteOrderMark(text: string): string {
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

/** What a text of so many arrays and objects costs to parse is not worth a look at how deep they are. */
const OPENINGS_FREE = 4_000;

/** No message may be nested nearly as deep. */
const LEVELS_MAX = 4_000;

/** Parses JSON text. Throws SyntaxError, as JSON.parse does, and also for a text that is nested so deeply that it would take long. */
export function parseJson(text: string): unknown {
  if (isFarTooDeep(text)) throw new SyntaxError("JSON is nested too deeply");
  return JSON.parse(text);
}

/** Whether a text, which need not be JSON, has thousands of levels: it would take a hundred times as long to parse as others. */
export function isFarTooDeep(text: string): boolean {
  if (text.length < OPENINGS_FREE) return false;
  const hasMany = hasMore(text, "[", OPENINGS_FREE) || hasMore(text, "{", OPENINGS_FREE);
  return hasMany && depthOf(text) > LEVELS_MAX;
}

/** Whether a character occurs more than `max` times. */
function hasMore(text: string, character: string, max: number): boolean {
  let count = 0;
  for (let at = text.indexOf(character); at >= 0; at = text.indexOf(character, at + 1)) {
    if (++count > max) return true;
  }
  return false;
}

/** How deep arrays and objects are nested in a text that may be no JSON at all. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let isInString = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === QUOTE) isInString = !isInString;
    else if (isInString) {
      if (c === BACKSLASH) i++;
    } else if (c === OBJECT || c === ARRAY) deepest = Math.max(deepest, ++depth);
    else if (c === OBJECT_END || c === ARRAY_END) depth--;
  }
  return deepest;
}

/** Null is the same as a missing member, where programs send it for what is not set. */
export function withoutNulls(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const members = Object.entries(value);
  if (members.every(([, member]) => member !== null)) return value;
  return Object.fromEntries(members.filter(([, member]) => member !== null));
}

/** The index of the closing quote of the string that begins at `start`. */
function stringEnd(json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); ; end = json.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (json.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
}

/** Whether arrays and objects are nested more than `max` levels deep. */
export function isDeeper(json: string, max: number): boolean {
  // Each level takes two characters.
  if (json.length <= 2 * max) return false;
  let depth = 0;
  for (let i = 0; i < json.length; i++) {
    const c = json.charCodeAt(i);
    if (c === QUOTE) i = stringEnd(json, i);
    else if (c === OBJECT || c === ARRAY) {
      if (++depth > max) return true;
    } else if (c === OBJECT_END || c === ARRAY_END) depth--;
  }
  return false;
}

/**
 * The text of a member's value: of the object at the top, or of each item if there is an array at the top. It is
 * undefined where the member is missing. Of two members with this name the last counts, as for JSON.parse. The cost is
 * the text's length.
 */
export function rawMembers(json: string, name: string): (string | undefined)[] {
  let at = skipSpace(json, 0);
  if (json.charCodeAt(at) !== ARRAY) return [memberOf(json, at, name).value];
  const values: (string | undefined)[] = [];
  at = skipSpace(json, at + 1);
  while (json.charCodeAt(at) !== ARRAY_END) {
    const { value, end } = memberOf(json, at, name);
    values.push(value);
    at = skipComma(json, end);
  }
  return values;
}

/** The texts of an array's items; empty for anything but an array. */
export function rawItems(json: string): string[] {
  const items: string[] = [];
  let at = skipSpace(json, 0);
  if (json.charCodeAt(at) !== ARRAY) return items;
  at = skipSpace(json, at + 1);
  while (json.charCodeAt(at) !== ARRAY_END) {
    const end = skipValue(json, at);
    items.push(json.slice(at, end));
    at = skipComma(json, end);
  }
  return items;
}

/** The names of the members of the object at the top, in order; a repeated name is repeated here too. */
export function memberNames(json: string): string[] {
  const names: string[] = [];
  let at = skipSpace(json, 0);
  if (json.charCodeAt(at) !== OBJECT) return names;
  at = skipSpace(json, at + 1);
  while (json.charCodeAt(at) !== OBJECT_END) {
    const keyEnd = stringEnd(json, at);
    names.push(JSON.parse(json.slice(at, keyEnd + 1)));
    // After the colon.
    at = skipComma(json, skipValue(json, skipSpace(json, skipSpace(json, keyEnd + 1) + 1)));
  }
  return names;
}

/** The text of a nested member, by the names that lead to it from the top. */
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
  if (json.charCodeAt(start) !== OBJECT) return { value: undefined, end: skipValue(json, start) };
  let value: string | undefined;
  let at = skipSpace(json, start + 1);
  while (json.charCodeAt(at) !== OBJECT_END) {
    const keyEnd = stringEnd(json, at);
    // After the colon.
    const begin = skipSpace(json, skipSpace(json, keyEnd + 1) + 1);
    const end = skipValue(json, begin);
    if (isNamed(json, at, keyEnd, name)) value = json.slice(begin, end);
    at = skipComma(json, end);
  }
  return { value, end: at + 1 };
}

/** Whether the string between these quotes is `name`. Escapes only make it longer. */
function isNamed(json: string, start: number, end: number, name: string): boolean {
  const length = end - start - 1;
  if (length === name.length) return json.startsWith(name, start + 1);
  if (length < name.length) return false;
  const key = json.slice(start, end + 1);
  return key.includes("\\") && JSON.parse(key) === name;
}

function skipSpace(json: string, start: number): number {
  let at = start;
  while (json.charCodeAt(at) <= 0x20) at++;
  return at;
}

/** The index of the next item, or of the end of the array or object. */
function skipComma(json: string, start: number): number {
  const at = skipSpace(json, start);
  return json.charCodeAt(at) === COMMA ? skipSpace(json, at + 1) : at;
}

/** The index after the value that begins at `start`. */
function skipValue(json: string, start: number): number {
  const first = json.charCodeAt(start);
  if (first === QUOTE) return stringEnd(json, start) + 1;
  let depth = 0;
  for (let at = start; at < json.length; at++) {
    const c = json.charCodeAt(at);
    if (c === QUOTE) at = stringEnd(json, at);
    else if (c === OBJECT || c === ARRAY) depth++;
    else if (c === OBJECT_END || c === ARRAY_END) {
      // A number, true, false or null ends with the array or object around it.
      if (depth === 0) return at;
      if (--depth === 0) return at + 1;
    } else if (depth === 0 && (c === COMMA || c <= 0x20)) return at;
  }
  return json.length;
}
