// Text from outside as it may be shown to people, in the log and on a terminal: nothing in it is invisible or moves a cursor.

const CONTROLS = /[\u0000-\u001f]/g;

// DEL, C1 controls, and Unicode's line and direction marks, which can hide or forge text on a terminal. JSON does not escape them.
const INVISIBLE_IN_JSON = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Makes text from outside safe to show: at most 200 characters, with all invisible ones escaped. */
export function sanitized(text: string): string {
  const cut = text.length > 200 ? `${text.slice(0, 200)}…` : text;
  return visibleJson(cut.toWellFormed().replace(CONTROLS, escaped));
}

/** The same JSON, safe to show on a terminal. */
export function visibleJson(json: string): string {
  return json.replace(INVISIBLE_IN_JSON, escaped);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
