// The JSON protocol, GET /ws/:id?format=json: each publication in an envelope with its topic and position, so that
// a client without a library can come back and say what it has.
import { errorBody, type Refusal } from "../relay/errors";
import type { Entered } from "../relay/command";
import type { Protocol } from "../relay/protocol";
import type { Publication } from "../relay/publication";
import { TopicsSinceFrame, topicsDecoder } from "./topics-frame";

const EXPECTED =
  'Send a text frame like {"topics":["a","b"],"since":{"a":{"offset":5,"epoch":"abcdefgh"}}}; since is optional.';

export const json: Protocol = {
  name: "json",
  carrier: "socket",
  decode: topicsDecoder(TopicsSinceFrame, EXPECTED),
  encodePublication: envelope,
  encodeEntered: enteredBody,
  encodeError: (refusal: Refusal) => JSON.stringify(errorBody(refusal)),
};

/** Topic, data and, where the topic keeps history, the position. JSON data stands in it with its bytes unchanged. */
export function envelope({ topic, data, json, offset, epoch }: Publication): string {
  const payload = json === true ? data : JSON.stringify(data);
  const position = offset === undefined ? "" : `,"offset":${offset},"epoch":"${epoch}"`;
  return `{"topic":${JSON.stringify(topic)},"data":${payload}${position}}`;
}

/** The reply to a topics command: for each topic its newest position and, if the client gave one, `recovered`. */
export function enteredBody(entered: readonly Entered[]): string {
  const topics = entered.map(({ topic, top, recovered }) => {
    const fields = { offset: top?.offset, epoch: top?.epoch, recovered };
    return `${JSON.stringify(topic)}:${JSON.stringify(fields)}`;
  });
  return `{"topics":{${topics.join(",")}}}`;
}
