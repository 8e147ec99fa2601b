// The plain protocol: a publication is one text frame, its message and nothing else; the client
// sends {"topics": [...]} and gets {"error": ...} for anything that is not that.
import { CLOSES, errorBody } from "../relay/contracts/errors";
import type { LiveProtocol } from "../relay/contracts/protocol";
import type { Publication } from "../relay/contracts/publication";
import { TopicsFrame, topicsDecoder } from "./topics-frame";

export const plain: LiveProtocol = {
  kind: "topics",
  canResume: false,
  name: "plain",
  transport: "socket",
  closes: CLOSES,
  decode: topicsDecoder(TopicsFrame, 'Send a text frame like {"topics":["tech","news"]}.'),
  encodePublication: textOf,
  encodeError: (refusal) => JSON.stringify(errorBody(refusal)),
};

/** A publication as text: JSON as its JSON text, but a JSON string as its content. */
export function textOf({ data, json }: Publication): string {
  return json === true && data[0] === '"' ? JSON.parse(data) : data;
}
