// Text from outside as it may be shown to people, in the log and on a terminal: nothing in it is invisible or moves a cursor.

const CONTROLS = /[\u0000-\u001f]/g;

// DEL, C1 controls, and Unicode's line and direction marks, which can hide or forge text on a terminal. JSON does not escape them.
const INVISIBLE_IN_JSON = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** What is shown of a text. */
const CHARACTERS_MAX = 200;

/** Makes text from outside safe to show: at most so many characters, with all invisible ones escaped. */
export function sanitized(text: string): string {
  return visibleJson(shortened(text).toWellFormed().replace(CONTROLS, escaped));
}

/** The beginning of a text that may be of many megabytes. */
export function shortened(text: string): string {
  return text.length > CHARACTERS_MAX ? `${text.slice(0, CHARACTERS_MAX)}…` : text;
}

/** The same JSON, safe to show on a terminal. */
export function visibleJson(json: string): string {
  return json.replace(INVISIBLE_IN_JSON, escaped);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
