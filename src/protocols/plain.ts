// The plain protocol, GET /ws/:id: a publication is one text frame with nothing but its message. The client sends
// {"topics": [...]}, and gets {"error": ...} for any other frame.
import { errorBody } from "../relay/contracts/errors";
import { CLOSES, type LiveProtocol } from "../relay/contracts/protocol";
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

/** A publication as text: JSON data is its JSON text, except that a JSON string is its content. */
export function textOf({ data, json }: Publication): string {
  return json === true && data[0] === '"' ? JSON.parse(data) : data;
}
