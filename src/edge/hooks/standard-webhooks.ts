// Baton's own webhooks, signed as the specification of Standard Webhooks says (version 1.0, "Signature scheme"), so that its libraries
// verify them: webhook-signature is the HMAC-SHA256 of id, time and body. The body is always JSON, because libraries parse it.
import type { RelayEvent } from "../../relay/contracts/options";
import type { HookReceiver, HookRequest } from "./receiver";

/** What a receiver is told of an event of each kind; what is missing is nothing to it. */
const TYPES: Readonly<Partial<Record<RelayEvent["kind"], string>>> = {
  occupied: "topic.occupied",
  vacated: "topic.vacated",
  published: "client.published",
  slow: "client.slow",
};

interface StandardReceiverOptions {
  readonly url: string;
  readonly types: readonly string[];
  /** How the names of the topics begin that count; without any, all do. */
  readonly prefixes: readonly string[];
  /** The keys to sign with, at least one. */
  readonly keys: readonly Uint8Array[];
}

/** A receiver of Standard Webhooks. */
export class StandardReceiver implements HookReceiver {
  readonly url: string;
  readonly #types: ReadonlySet<string>;
  readonly #prefixes: readonly string[];
  keys: readonly Uint8Array[];

  constructor({ url, types, prefixes, keys }: StandardReceiverOptions) {
    this.url = url;
    this.#types = new Set(types);
    this.#prefixes = prefixes;
    this.keys = keys;
  }

  wants(kind: RelayEvent["kind"]): boolean {
    return this.#types.has(TYPES[kind] ?? "");
  }

  textOf(happened: RelayEvent): string | undefined {
    if (!this.wants(happened.kind) || !this.#concerns(happened)) return undefined;
    const id = `evt_${crypto.randomUUID().replaceAll("-", "")}`;
    const head = JSON.stringify({
      id,
      type: TYPES[happened.kind],
      timestamp: new Date().toISOString(),
    });
    return `${head.slice(0, -1)},"data":${dataOf(happened)}}`;
  }

  requestOf(texts: readonly string[]): HookRequest {
    const body = `{"events":[${texts.join(",")}]}`;
    // The same events have the same id, however often they are sent, and others never have it.
    const id = `msg_${new Bun.CryptoHasher("sha256").update(body).digest("base64url").slice(0, 27)}`;
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
    return topics.some((topic) => this.#prefixes.some((prefix) => topic.startsWith(prefix)));
  }
}

function topicsOf(happened: RelayEvent): readonly string[] {
  if (happened.kind === "slow") return happened.topics;
  return [happened.kind === "published" ? happened.publication.topic : happened.topic];
}

/** A JSON text. That of a publication has the bytes that its client sent. */
function dataOf(happened: RelayEvent): string {
  if (happened.kind === "published") {
    const { topic, user, event, data, json, info } = happened.publication;
    const head = JSON.stringify({
      topic,
      client: happened.client,
      user: info?.user || undefined,
      event,
      user_id: user,
    });
    const content = json === true ? `"data":${data}` : `"message":${JSON.stringify(data)}`;
    return `${head.slice(0, -1)},${content}}`;
  }
  if (happened.kind === "slow") {
    const { user, protocol, topics } = happened;
    return JSON.stringify({ user: user || undefined, protocol, topics });
  }
  return JSON.stringify({ topic: happened.topic });
}
