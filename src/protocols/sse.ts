// Server-Sent Events (WHATWG HTML, 9.2): the topic is the event, the id carries the position of each topic of the
// stream. A block's id names the topic it belongs to; a stream of several topics puts those of the others beside it.

import type { SubscribeResult } from "../relay/contracts/commands";
import { CLOSES, errorBody, Refusal } from "../relay/contracts/errors";
import type { ResumableProtocol } from "../relay/contracts/protocol";
import { NO_EPOCH, type Position, type Publication } from "../relay/contracts/publication";
import { envelope, subscribedBody } from "./json";
import { textOf } from "./plain";

/** Data as it is: a carriage return cannot be carried and splits a line, as a line feed does. */
export const sse: ResumableProtocol = stream("sse", textOf);

/** Data in the envelope of the JSON protocol: every text arrives as it was. */
export const sseJson: ResumableProtocol = stream("sse-json", envelope);

function stream(name: string, dataOf: (publication: Publication) => string): ResumableProtocol {
  return {
    kind: "topics",
    canResume: true,
    name,
    transport: "stream",
    closes: CLOSES,
    decode: () => new Refusal("invalid_frame", "A stream takes no frames."),
    encodePublication(publication) {
      const { topic, offset, epoch } = publication;
      const id =
        offset === undefined || epoch === undefined
          ? ""
          : `id: ${encodePosition(topic, { epoch, offset })}\n`;
      return `${id}event: ${topic}\n${dataLines(dataOf(publication))}\n`;
    },
    encodeSubscribed,
    decodeSince,
    encodeError: (refusal) => `data: ${JSON.stringify(errorBody(refusal))}\n\n`,
  };
}

/**
 * The positions from which the stream goes on; EventSource takes a block without data in silence. Only who cannot be
 * given what it missed is told, by an event without a name.
 */
function encodeSubscribed(results: readonly SubscribeResult[]): string {
  const positions = results.flatMap(({ topic, at }) =>
    at === undefined ? [] : [encodePosition(topic, at)],
  );
  const id = positions.length === 0 ? "" : `id: ${positions.join("&")}\n`;
  const told = results.some(({ recovered }) => recovered === false);
  return `${id}${told ? `data: ${subscribedBody(results)}\n` : ""}\n`;
}

// RFC 3986, section 2: the name is percent-encoded, so the marks between the parts are only that.
function encodePosition(topic: string, { epoch, offset }: Position): string {
  return `${encodeURIComponent(topic)}=${epoch}:${offset}`;
}

/** The positions in a Last-Event-ID. A text that has none is no reason to keep silent: all topics count as lost. */
function decodeSince(id: string, topics: ReadonlySet<string>): Map<string, Position> {
  const positions = new Map<string, Position>();
  for (const part of id.split("&")) {
    const [, name, epoch, digits] = /^([^=]+)=([^:=]{1,64}):(\d{1,16})$/.exec(part) ?? [];
    const offset = Number(digits);
    if (name === undefined || epoch === undefined || !Number.isSafeInteger(offset)) continue;
    try {
      positions.set(decodeURIComponent(name), { epoch, offset });
    } catch {
      // Not percent-encoded UTF-8.
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
