// What a push shows: from the publisher's words or a rule's template to the JSON that the page's service worker gets.
import { hash } from "node:crypto";
import { Refusal } from "../../relay/contracts/errors";
import type { Publication, PushContent } from "../../relay/contracts/publication";
import { checkTopic } from "../../relay/text/checks";
import type { PushMessage } from "./services/sender";

/**
 * RFC 8030, 7.2, lets a push service refuse more than 4,096 bytes; the encoding adds 103 (RFC 8188: a header of 86, a delimiter, and a
 * tag of 16).
 */
export const PAYLOAD_BYTES_MAX = 3_993;

/** What services keep at most: four weeks. */
export const TTL_S_MAX = 2_419_200;

/** A day: what is older is seldom worth a sound. */
const TTL_S = 86_400;

export const URGENCIES = ["very-low", "low", "normal", "high"] as const;

/** Refuses `invalid_push`, `push_too_large`. */
export function messageOf(content: PushContent, topic: string): PushMessage | Refusal {
  const refusal = checkContent(content);
  if (refusal !== undefined) return refusal;
  const message = composed(content, topic);
  const bytes = Buffer.byteLength(message.payload);
  if (bytes <= PAYLOAD_BYTES_MAX) return message;
  return new Refusal(
    "push_too_large",
    `The push has ${bytes} bytes of JSON with its topic, of which ${PAYLOAD_BYTES_MAX} are allowed. Shorten its body, or send a url to the rest.`,
  );
}

/** What a message was made of, apart from its topic. */
export function contentOf({ payload, ttlS, urgency }: PushMessage): PushContent {
  const { title, body, url } = JSON.parse(payload);
  return { title, body, url, ttl: ttlS, urgency };
}

/** The same of a rule's template. What is too long is cut, since its publisher has not written it. */
export function messageOfTemplate(template: PushContent, publication: Publication): PushMessage {
  const value = reader(publication);
  const filled = (text: string) => text.replaceAll(PLACE, (_, path: string) => value(path));
  const { title, body, url, topic, ...rest } = template;
  const content = {
    ...rest,
    title: filled(title),
    ...(body !== undefined && { body: filled(body) }),
    ...(url !== undefined && { url: filled(url) }),
    ...(topic !== undefined && { topic: filled(topic) }),
  };
  return composed(fitted(content, publication.topic), publication.topic);
}

const PLACE = /\{\{ *(topic|user|data(?:\.[\w-]+)*) *\}\}/g;

/** What stands for a name in a template; "" where the publication has nothing there. */
function reader({ topic, user = "", data, json }: Publication): (path: string) => string {
  let parsed: unknown;
  return (path) => {
    if (path === "topic") return topic;
    if (path === "user") return user;
    parsed ??= json === true ? JSON.parse(data) : data;
    let found = parsed;
    for (const name of path.split(".").slice(1)) {
      const isObject = typeof found === "object" && found !== null;
      if (!isObject || !Object.hasOwn(found as object, name)) return "";
      found = (found as Record<string, unknown>)[name];
    }
    return typeof found === "string" ? found : found === null ? "" : JSON.stringify(found);
  };
}

/** The same, cut so that its JSON fits. Cost: a dozen times what fits. */
function fitted<Content extends { title: string; body?: string; url?: string }>(
  content: Content,
  topic: string,
): Content {
  const fits = (one: Content) =>
    Buffer.byteLength(composed(one, topic).payload) <= PAYLOAD_BYTES_MAX;
  let cut = content;
  for (const member of ["body", "title", "url"] as const) {
    const text = cut[member] ?? "";
    if (fits(cut) || text === "") continue;
    const shortened = (length: number): Content => ({ ...cut, [member]: beginning(text, length) });
    let kept = 0;
    let over = Math.min(text.length, PAYLOAD_BYTES_MAX);
    while (kept < over - 1) {
      const middle = (kept + over) >> 1;
      if (fits(shortened(middle))) kept = middle;
      else over = middle;
    }
    cut = shortened(kept);
  }
  return cut;
}

/** At most so many UTF-16 units of a text that is longer, none of them half a character. */
function beginning(text: string, length: number): string {
  const cut = text.slice(0, length).replace(/[\ud800-\udbff]$/, "");
  return cut === "" ? "" : `${cut}…`;
}

function composed(
  { title, body, url, ttl, urgency, topic: collapse }: PushContent,
  topic: string,
): PushMessage {
  return {
    payload: JSON.stringify({ title, body, url, topic }),
    ttlS: ttl ?? TTL_S,
    urgency: urgency ?? "normal",
    // A hash, since a template may make a topic of any length.
    collapse: collapse === undefined ? undefined : hash("sha256", collapse, "base64url"),
  };
}

/** For publishers whose words no schema has checked. */
function checkContent({ title, body, url, ttl, urgency, topic }: PushContent): Refusal | undefined {
  const texts: unknown[] = [title, body, url].filter((text) => text !== undefined);
  if (typeof title !== "string" || title === "") return invalid("title must be a text");
  if (texts.some((text) => typeof text !== "string")) return invalid("body and url must be texts");
  if (ttl !== undefined && !(Number.isInteger(ttl) && ttl >= 0 && ttl <= TTL_S_MAX)) {
    return invalid(`ttl must be a whole number of seconds from 0 to ${TTL_S_MAX}`);
  }
  if (urgency !== undefined && !URGENCIES.includes(urgency)) {
    return invalid(`urgency must be one of ${URGENCIES.join(", ")}`);
  }
  if (topic !== undefined && (typeof topic !== "string" || checkTopic(topic) !== undefined)) {
    return invalid("topic must be a text like the name of a topic");
  }
  return undefined;
}

function invalid(problem: string): Refusal {
  return new Refusal(
    "invalid_push",
    `push.${problem}. Send a push like {"title":"New message","body":"Hi","url":"/chat"}.`,
  );
}
