// The JSON protocol, GET /ws/:id?format=json: each publication comes in an envelope with its topic and position, so that
// a client without a library can reconnect and say which positions it has.
import type { SubscribeResult } from "../relay/contracts/commands";
import { errorBody } from "../relay/contracts/errors";
import { CLOSES, type ResumableProtocol } from "../relay/contracts/protocol";
import type { Publication } from "../relay/contracts/publication";
import { withSizes } from "./sized";
import { TopicsSinceFrame, topicsDecoder } from "./topics-frame";

const EXPECTED =
  'Send a text frame like {"topics":["a","b"],"since":{"a":{"offset":5,"epoch":"abcdefgh"}}}; since is optional.';

/** Browsers answer the relay's own pings by themselves and tell no page of them, so a page asks with this whether it is connected. */
const PING = "{}";

const PING_COMMAND = { kind: "ping" } as const;

const decodeTopics = topicsDecoder(TopicsSinceFrame, EXPECTED);

export const json: ResumableProtocol = withSizes({
  kind: "topics",
  canResume: true,
  name: "json",
  transport: "socket",
  closes: CLOSES,
  decode: (frame) => (frame === PING ? PING_COMMAND : decodeTopics(frame)),
  pong: PING,
  encodePublication: envelope,
  encodeSubscribed: subscribedBody,
  encodeError: (refusal) => JSON.stringify(errorBody(refusal)),
});

/** Topic, the event if it has one, data and, where the topic keeps history, the position. The bytes of JSON data stay unchanged. */
export function envelope({ topic, event, data, json, offset, epoch }: Publication): string {
  const payload = json === true ? data : JSON.stringify(data);
  const position = offset === undefined ? "" : `,"offset":${offset},"epoch":"${epoch}"`;
  const name = event === undefined ? "" : `,"event":${JSON.stringify(event)}`;
  return `{"topic":${JSON.stringify(topic)}${name},"data":${payload}${position}}`;
}

/**
 * The reply to a topics command. Each topic has `recovered` if the client gave a position for it, and a position: with
 * `recovered: true` the top of the topic, and otherwise the position that the client has from this reply on.
 */
export function subscribedBody(results: readonly SubscribeResult[]): string {
  const topics = results.map(({ topic, top, at, recovered }) => {
    const position = recovered === true ? top : at;
    const fields = { offset: position?.offset, epoch: position?.epoch, recovered };
    return `${JSON.stringify(topic)}:${JSON.stringify(fields)}`;
  });
  return `{"topics":{${topics.join(",")}}}`;
}
