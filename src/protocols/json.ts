// The JSON protocol, GET /ws/:id?format=json: each publication in an envelope with its topic and position, so that
// a client without a library can come back and say what it has.

import type { SubscribeResult } from "../relay/contracts/commands";
import { CLOSES, errorBody } from "../relay/contracts/errors";
import type { ResumableProtocol } from "../relay/contracts/protocol";
import type { Publication } from "../relay/contracts/publication";
import { TopicsSinceFrame, topicsDecoder } from "./topics-frame";

const EXPECTED =
  'Send a text frame like {"topics":["a","b"],"since":{"a":{"offset":5,"epoch":"abcdefgh"}}}; since is optional.';

export const json: ResumableProtocol = {
  kind: "topics",
  canResume: true,
  name: "json",
  transport: "socket",
  closes: CLOSES,
  decode: topicsDecoder(TopicsSinceFrame, EXPECTED),
  encodePublication: envelope,
  encodeSubscribed: subscribedBody,
  encodeError: (refusal) => JSON.stringify(errorBody(refusal)),
};

/** Topic, data and, where the topic keeps history, the position. JSON data stands in it with its bytes unchanged. */
export function envelope({ topic, data, json, offset, epoch }: Publication): string {
  const payload = json === true ? data : JSON.stringify(data);
  const position = offset === undefined ? "" : `,"offset":${offset},"epoch":"${epoch}"`;
  return `{"topic":${JSON.stringify(topic)},"data":${payload}${position}}`;
}

/**
 * The reply to a topics command: for each topic, if the client gave a position, `recovered`; and the newest position
 * when it is, else the one that the client has with this reply.
 */
export function subscribedBody(results: readonly SubscribeResult[]): string {
  const topics = results.map(({ topic, top, at, recovered }) => {
    const position = recovered === true ? top : at;
    const fields = { offset: position?.offset, epoch: position?.epoch, recovered };
    return `${JSON.stringify(topic)}:${JSON.stringify(fields)}`;
  });
  return `{"topics":{${topics.join(",")}}}`;
}
