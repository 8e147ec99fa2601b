// Baton's own webhooks, signed as the specification of Standard Webhooks says (version 1.0, "Signature scheme"), so that its libraries
// verify them: webhook-signature is the HMAC-SHA256 of id, time and body. The body is always JSON, because libraries parse it.
import { hash } from "node:crypto";
import type { RelayEvent } from "../../relay/contracts/options";
import type { Publication } from "../../relay/contracts/publication";
import { newId } from "../access/random-ids";
import type { HookReceiver, HookRequest } from "./receiver";

/** What a receiver is told of an event of each kind; what is missing is nothing to it. */
const TYPES: Readonly<Partial<Record<RelayEvent["kind"], string>>> = {
  online: "user.online",
  offline: "user.offline",
  joined: "user.joined",
  left: "user.left",
  occupied: "topic.occupied",
  vacated: "topic.vacated",
  published: "client.published",
  slow: "client.slow",
  undelivered: "publication.undelivered",
};

/** Events are missing here. Every receiver is told that. */
const LOST = "events.lost";

interface StandardReceiverOptions {
  readonly url: string;
  readonly types: readonly string[];
  /** How the names of the topics begin that count; without any, all do. */
  readonly prefixes: readonly string[];
  /** The keys to sign with, at least one. */
  readonly keys: readonly Uint8Array[];
  readonly ageMaxMs: number;
}

/** A receiver of Standard Webhooks. */
export class StandardReceiver implements HookReceiver {
  readonly url: string;
  readonly ageMaxMs: number;
  readonly #types: ReadonlySet<string>;
  readonly #prefixes: readonly string[];
  keys: readonly Uint8Array[];

  constructor({ url, types, prefixes, keys, ageMaxMs }: StandardReceiverOptions) {
    this.url = url;
    this.#types = new Set(types);
    this.#prefixes = prefixes;
    this.keys = keys;
    this.ageMaxMs = ageMaxMs;
  }

  wants(kind: RelayEvent["kind"]): boolean {
    return this.#types.has(TYPES[kind] ?? "");
  }

  textOf(happened: RelayEvent): string | undefined {
    if (!this.wants(happened.kind) || !this.#concerns(happened)) return undefined;
    // The same for an event that may be told again after a fault.
    const id = "key" in happened ? digest(`${happened.kind} ${happened.key}`) : newId();
    return eventText(id, TYPES[happened.kind] ?? "", dataOf(happened));
  }

  lostTextOf(count: number): string {
    return eventText(newId(), LOST, JSON.stringify({ count }));
  }

  requestOf(texts: readonly string[]): HookRequest {
    const body = `{"events":[${texts.join(",")}]}`;
    // The same events have the same id, however often they are sent, and others never have it.
    const id = `msg_${digest(body)}`;
    const timestamp = String(Math.floor(Date.now() / 1_000));
    const signed = `${id}.${timestamp}.${body}`;
    const signatures = this.keys.map(
      (key) => `v1,${new Bun.CryptoHasher("sha256", key).update(signed).digest("base64")}`,
    );
    return {
      body,
      headers: {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signatures.join(" "),
      },
    };
  }

  /** Whether it is about a topic that counts for this receiver, or about none. */
  #concerns(happened: RelayEvent): boolean {
    if (this.#prefixes.length === 0) return true;
    const topics = topicsOf(happened);
    if (topics === undefined) return true;
    return topics.some((topic) => this.#prefixes.some((prefix) => topic.startsWith(prefix)));
  }
}

function digest(text: string): string {
  return hash("sha256", text).slice(0, 32);
}

/** `data` is a JSON text. */
function eventText(id: string, type: string, data: string): string {
  const head = JSON.stringify({ id: `evt_${id}`, type, timestamp: new Date().toISOString() });
  return `${head.slice(0, -1)},"data":${data}}`;
}

/** The topics that it is about; undefined where it is about none. */
function topicsOf(happened: RelayEvent): readonly string[] | undefined {
  if (happened.kind === "slow") return happened.topics;
  if ("publication" in happened) return [happened.publication.topic];
  return "topic" in happened ? [happened.topic] : undefined;
}

/** A JSON text. That of a publication has the bytes that its client sent. */
function dataOf(happened: RelayEvent): string {
  if (happened.kind === "published") {
    const { topic, user, event, info } = happened.publication;
    const head = JSON.stringify({
      topic,
      client: happened.client,
      user: info?.user || undefined,
      event,
      user_id: user,
    });
    return withContent(head, happened.publication);
  }
  if (happened.kind === "undelivered") {
    const { publication, push, devices } = happened;
    const { topic, user, event, offset, epoch } = publication;
    const head = JSON.stringify({ topic, user_id: user, event, offset, epoch, push, devices });
    return withContent(head, publication);
  }
  if (happened.kind === "slow") {
    const { user, protocol, topics } = happened;
    return JSON.stringify({ user: user || undefined, protocol, topics });
  }
  return JSON.stringify({
    topic: "topic" in happened ? happened.topic : undefined,
    user: "user" in happened ? happened.user : undefined,
  });
}

/** A JSON object, and what was published in it with its bytes. */
function withContent(head: string, { data, json }: Pick<Publication, "data" | "json">): string {
  const content = json === true ? `"data":${data}` : `"message":${JSON.stringify(data)}`;
  return `${head.slice(0, -1)},${content}}`;
}
