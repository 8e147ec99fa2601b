// How publications are written in Redis: in a topic's history, and on its channel.
import type { Publication } from "../../../relay/contracts/publication";

/** A publication as it came over its topic's channel. */
export interface ReceivedPublication {
  readonly publication: Publication;
  /** Which publish it comes from, as the publisher's node names it; "" when it was read from the history. */
  readonly publishId: string;
}

/** What is kept of a publication: [data, json, user, info, tags, except]; fields that are not set are left out at the end. */
type Body = [string, 0 | 1, ...unknown[]];

export function bodyOf({ data, json, user, info, tags, except }: Publication): string {
  const body: Body = [data, json === true ? 1 : 0, user, info, tags, except];
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
  const [data, json, user, info, tags, except] = JSON.parse(text) as Body;
  if (typeof data !== "string" || !/^\d{0,16}$/.test(offset)) throw new Error("not a publication");
  return {
    topic,
    data,
    ...(json === 1 && { json: true }),
    ...(typeof user === "string" && { user }),
    ...(info !== undefined && info !== null && { info: info as Publication["info"] & object }),
    ...(typeof tags === "string" && { tags }),
    ...(typeof except === "string" && { except }),
    ...(offset !== "" && { offset: Number(offset), epoch }),
  };
}

/**
 * Reads a message of a topic's channel: offset, epoch, count and publish id, each on a line of its own, then the body. `count` is
 * how many publications the server had taken with this one. Undefined for anything else.
 */
export function decodeMessage(
  topic: string,
  message: string,
): (ReceivedPublication & { readonly count: number }) | undefined {
  const [offset, epoch, count, publishId] = message.split("\n", 4);
  if (
    offset === undefined ||
    epoch === undefined ||
    count === undefined ||
    publishId === undefined
  ) {
    return undefined;
  }
  const headLength = offset.length + epoch.length + count.length + publishId.length + 4;
  try {
    const publication = publicationOf(topic, offset, epoch, message.slice(headLength));
    return { publication, publishId, count: Number(count) };
  } catch {
    return undefined;
  }
}
