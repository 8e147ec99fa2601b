// How publications are written in Redis: in a topic's history, and on its channel.
import type { Publication } from "../../../relay/contracts/publication";

/** A publication as it came over its topic's channel. */
export interface ReceivedPublication {
  readonly publication: Publication;
  /** The number of the publish on this node; 0 when another node has published it, or it was read from the history. */
  readonly publish: number;
}

/** What is kept of a publication: [data, json, user, info, tags, except, event, push]; fields that are not set are left out at
 * the end. Nodes ignore what newer ones add there. */
type Body = [string, 0 | 1, ...unknown[]];

export function bodyOf(publication: Publication): string {
  const { data, json, user, info, tags, except, event, push } = publication;
  const body: Body = [data, json === true ? 1 : 0, user, info, tags, except, event, push];
  while (body.at(-1) === undefined) body.pop();
  return JSON.stringify(body);
}

/** The publication of a body. `offset` and `epoch` are "" when its topic keeps no history. Throws when it is not one. */
export function publicationOf(
  topic: string,
  offset: string,
  epoch: string,
  text: string,
): Publication {
  const [data, json, user, info, tags, except, event, push] = JSON.parse(text) as Body;
  if (typeof data !== "string" || !/^\d{0,16}$/.test(offset)) throw new Error("not a publication");
  return {
    topic,
    data,
    ...(json === 1 && { json: true }),
    ...(typeof user === "string" && { user }),
    ...(info !== undefined && info !== null && { info: info as Publication["info"] & object }),
    ...(typeof tags === "string" && { tags }),
    ...(typeof except === "string" && { except }),
    ...(typeof event === "string" && { event }),
    ...(typeof push === "string" && { push }),
    ...(offset !== "" && { offset: Number(offset), epoch }),
  };
}

/** What came over a topic's channel in one message. */
interface ReceivedMessage {
  /** How many publications the server had taken with these. */
  readonly count: number;
  readonly publications: readonly ReceivedPublication[];
}

/**
 * Reads a message of a topic's channel: the first offset, epoch, count and the id of the first publish, each on a line of its own,
 * then the bodies of the publications as lines. The id is the publisher's node, a dot and a number, which is told to `node`
 * alone. Undefined for anything else.
 */
export function decodeMessage(
  topic: string,
  message: string,
  node: string,
): ReceivedMessage | undefined {
  const offsetEnd = message.indexOf("\n");
  const epochEnd = message.indexOf("\n", offsetEnd + 1);
  const countEnd = message.indexOf("\n", epochEnd + 1);
  const idEnd = message.indexOf("\n", countEnd + 1);
  if (offsetEnd < 0 || epochEnd <= offsetEnd || countEnd <= epochEnd || idEnd <= countEnd) {
    return undefined;
  }
  const first = message.slice(0, offsetEnd);
  const epoch = message.slice(offsetEnd + 1, epochEnd);
  const isOwn = message.startsWith(`${node}.`, countEnd + 1);
  const firstPublish = isOwn ? Number(message.slice(countEnd + node.length + 2, idEnd)) : 0;
  try {
    const publications = linesOf(message.slice(idEnd + 1)).map((body, i) => {
      const publish = isOwn ? firstPublish + i : 0;
      return { publication: publicationOf(topic, offsetAfter(first, i), epoch, body), publish };
    });
    return { publications, count: Number(message.slice(epochEnd + 1, countEnd)) };
  } catch {
    return undefined;
  }
}

/** The bodies in an entry of a history, or in a message. */
export function linesOf(bodies: string): readonly string[] {
  return bodies.includes("\n") ? bodies.split("\n") : [bodies];
}

/** The offset `count` publications after `first`; "" where there are none. */
function offsetAfter(first: string, count: number): string {
  return count === 0 || first === "" ? first : String(Number(first) + count);
}
