// The payload of a publication as JSON text on one line: what sessions are sent, and what patches are made of.
import type { Publication } from "../contracts/publication";

export function payloadOf({ data, json }: Publication): string {
  return json === true ? oneLine(data) : JSON.stringify(data);
}

/** A line feed would begin another message. In JSON it only occurs between tokens, where a space means the same. */
export function oneLine(json: string): string {
  return /[\r\n]/.test(json) ? json.replace(/[\r\n]/g, " ") : json;
}
