// How publications look in Redis: in a topic's log, and on its channel.
import type { Publication } from "../../../relay/contracts/publication";
import type { Arrival } from "../following/feed";

/** What is kept of a publication: [data, json, user, info, tags, except], without what is not set at its end. */
type Body = [string, 0 | 1, ...unknown[]];

export function bodyOf({ data, json, user, info, tags, except }: Publication): string {
  const body: Body = [data, json === true ? 1 : 0, user, info, tags, except];
  while (body.at(-1) === undefined) body.pop();
  return JSON.stringify(body);
}

/** The publication of a body; `offset` and `epoch` are "" where its topic keeps no history. Throws when it is none. */
export function publicationOf(
  topic: string,
  offset: string,
  epoch: string,
  text: string,
): Publication {
  const [data, json, user, info, tags, except] = JSON.parse(text) as Body;
  if (typeof data !== "string" || !/^\d{0,16}$/.test(offset)) throw new Error("no publication");
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

/** What a topic's channel carries: offset, epoch, count and call, a line each, then the body. Undefined for anything else. */
export function arrivalOf(
  topic: string,
  message: string,
): (Arrival & { readonly count: number }) | undefined {
  const [offset, epoch, count, call] = message.split("\n", 4);
  if (offset === undefined || epoch === undefined || count === undefined || call === undefined) {
    return undefined;
  }
  const head = offset.length + epoch.length + count.length + call.length + 4;
  try {
    const publication = publicationOf(topic, offset, epoch, message.slice(head));
    return { publication, call, count: Number(count) };
  } catch {
    return undefined;
  }
}
