// The plain protocol: a publication is one text frame, its message and nothing else; the client
// sends {"topics": [...]} and gets {"error": ...} for anything that is not that.
import { errorBody, type Refusal } from "../relay/contracts/errors";
import type { Protocol } from "../relay/contracts/protocol";
import type { Publication } from "../relay/contracts/publication";
import { TopicsFrame, topicsDecoder } from "./topics-frame";

export const plain: Protocol = {
  name: "plain",
  transport: "socket",
  decode: topicsDecoder(TopicsFrame, 'Send a text frame like {"topics":["tech","news"]}.'),
  encodePublication: textOf,
  encodeError: (refusal: Refusal) => JSON.stringify(errorBody(refusal)),
};

/** A publication as text: JSON as its JSON text, but a JSON string as its content. */
export function textOf({ data, json }: Publication): string {
  return json === true && data[0] === '"' ? JSON.parse(data) : data;
}
