// Server-Sent Events (WHATWG HTML, section 9.2): the event is the topic, and the id carries the position of each topic of
// the stream. A block's id has only its own topic; edge/transports/stream-group.ts adds the other topics of the stream.
// The id is the last line of its block: several libraries keep the id of a block whose end never came, and would resume behind an
// event that they do not have.
import type { SubscribeResult } from "../relay/contracts/commands";
import { errorBody, Refusal } from "../relay/contracts/errors";
import { CLOSES, type ResumableProtocol } from "../relay/contracts/protocol";
import { NO_EPOCH, type Position, type Publication } from "../relay/contracts/publication";
import { envelope, subscribedBody } from "./json";
import { textOf } from "./plain";
import { withSizes } from "./sized";

/** Data goes out as it is, but a carriage return, which the format cannot carry, arrives as a line feed. */
export const sse: ResumableProtocol = stream("sse", textOf);

/** Data comes in the envelope of the JSON protocol, so that every text arrives unchanged. */
export const sseJson: ResumableProtocol = withSizes(stream("sse-json", envelope));

function stream(name: string, dataOf: (publication: Publication) => string): ResumableProtocol {
  return {
    kind: "topics",
    canResume: true,
    name,
    transport: "stream",
    closes: CLOSES,
    decode: () => new Refusal("invalid_frame", "A stream accepts no frames."),
    encodePublication(publication) {
      const { topic, offset, epoch } = publication;
      const id =
        offset === undefined || epoch === undefined
          ? ""
          : `id: ${encodePosition(topic, { epoch, offset })}\n`;
      return `event: ${topic}\n${dataLines(dataOf(publication))}${id}\n`;
    },
    encodeSubscribed,
    decodeSince,
    encodeError: (refusal) => `data: ${JSON.stringify(errorBody(refusal))}\n\n`,
  };
}

/**
 * The positions that the stream continues from, in a block without data, of which EventSource keeps only the id. A client
 * whose publications cannot all be recovered also gets an event without a name.
 */
function encodeSubscribed(results: readonly SubscribeResult[]): string {
  const positions = results.flatMap(({ topic, at }) =>
    at === undefined ? [] : [encodePosition(topic, at)],
  );
  const id = positions.length === 0 ? "" : `id: ${positions.join("&")}\n`;
  const hasLost = results.some(({ recovered }) => recovered === false);
  return `${hasLost ? `data: ${subscribedBody(results)}\n` : ""}${id}\n`;
}

// The name is percent-encoded (RFC 3986, section 2), so it cannot contain the marks between the parts.
function encodePosition(topic: string, { epoch, offset }: Position): string {
  return `${encodeURIComponent(topic)}=${epoch}:${offset}`;
}

/** The positions in a Last-Event-ID. When it has none that can be read, all topics count as lost, so that the client is told. */
function decodeSince(id: string, topics: ReadonlySet<string>): Map<string, Position> {
  const positions = new Map<string, Position>();
  for (const part of id.split("&")) {
    const [, name, epoch, digits] = /^([^=]+)=([^:=]{1,64}):(\d{1,16})$/.exec(part) ?? [];
    const offset = Number(digits);
    if (name === undefined || epoch === undefined || !Number.isSafeInteger(offset)) continue;
    try {
      positions.set(decodeURIComponent(name), { epoch, offset });
    } catch {
      // The name is not percent-encoded UTF-8.
    }
  }
  if (id !== "" && positions.size === 0) {
    for (const name of topics) positions.set(name, { epoch: NO_EPOCH, offset: 0 });
  }
  return positions;
}

function dataLines(text: string): string {
  if (!/[\r\n]/.test(text)) return `data: ${text}\n`;
  return text
    .split(/\r\n|\r|\n/)
    .map((line) => `data: ${line}\n`)
    .join("");
}
