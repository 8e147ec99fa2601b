// Clients of every kind that reach a relay through a proxy, and what each of them has received.
import { expect } from "bun:test";
import type { Centrifuge } from "centrifuge";
import { EventSource } from "eventsource";
import { sdk, type Transport } from "../centrifuge/sdk";
import { ResumingSocket } from "../clients/resuming-socket";
import { ResumingStream } from "../clients/resuming-stream";
import { until } from "../wait";

/** It has everything that a proxy could misread. */
export const TOPIC = "a/b#c$d%é";

/** A message that only asks whether a client is there. */
const THERE = "there";

interface Registration {
  readonly url: string;
  readonly sse: string;
}

const RESUMING = { json: ResumingSocket, stream: ResumingStream };

/** The last three are those of the official SDK. */
type ClientKind = "plain" | "EventSource" | keyof typeof RESUMING | Transport;

export class Clients implements Disposable {
  readonly #url: string;
  /** What each client has received, by its name. */
  readonly received = new Map<string, readonly string[]>();
  /** The names of those that are subscribed. */
  readonly #there = new Set<string>();
  readonly #ends: (() => unknown)[] = [];

  constructor(url: string) {
    this.#url = url;
  }

  async register(): Promise<Registration> {
    const answer = await post(`${this.#url}/register`, { user_id: crypto.randomUUID() });
    return (await answer.json()) as Registration;
  }

  /** Connects so many of each kind. */
  async connect(counts: Partial<Record<ClientKind, number>>): Promise<void> {
    for (const [kind, count] of Object.entries(counts) as [ClientKind, number][]) {
      for (let i = 0; i < count; i++) await this.#connectOne(kind, this.#listOf(`${kind} ${i}`));
    }
  }

  #connectOne(kind: ClientKind, add: (message: string) => void): Promise<void> | void {
    if (kind === "plain") return this.#connectPlain(add);
    if (kind === "EventSource") return this.#connectEventSource(add);
    if (kind === "json" || kind === "stream") {
      const client = new RESUMING[kind]({
        topics: [TOPIC],
        register: async () => (await this.register()).url,
        onPublication: (_, data) => add(data),
      });
      this.#ends.push(() => client.stop());
    } else this.#connectSdk(kind, add);
  }

  #connectSdk(transport: Transport, add: (message: string) => void): void {
    const client: Centrifuge = sdk(this.#url, transport);
    const subscription = client.newSubscription(TOPIC);
    subscription.on("publication", ({ data }) => add(data));
    subscription.subscribe();
    client.connect();
    this.#ends.push(() => client.disconnect());
  }

  async #connectPlain(add: (message: string) => void): Promise<void> {
    const socket = new WebSocket((await this.register()).url);
    socket.onopen = () => socket.send(JSON.stringify({ topics: [TOPIC] }));
    socket.onmessage = ({ data }) => add(data);
    this.#ends.push(() => socket.close());
  }

  async #connectEventSource(add: (message: string) => void): Promise<void> {
    const { sse } = await this.register();
    const events = new EventSource(`${sse}?topics=${encodeURIComponent(TOPIC)}`);
    events.addEventListener(TOPIC, ({ data }) => add(data));
    this.#ends.push(() => events.close());
  }

  /** Resolves when all clients are subscribed. */
  subscribed(): Promise<void> {
    const areThere = async () => {
      await publish(this.#url, THERE);
      return this.#there.size === this.received.size;
    };
    return until("all clients to subscribe", areThere);
  }

  /** Begins the list of a client; messages that only ask whether it is there do not count. */
  #listOf(name: string): (message: string) => void {
    const list: string[] = [];
    this.received.set(name, list);
    return (message) => {
      if (message === THERE) this.#there.add(name);
      else list.push(message);
    };
  }

  /** The names of those that have not received all of these, in order. */
  without(messages: readonly string[]): string[] {
    const all = messages.join();
    return [...this.received].filter(([, list]) => list.join() !== all).map(([name]) => name);
  }

  [Symbol.dispose](): void {
    for (const end of this.#ends) end();
  }
}

export async function post(url: string, body: unknown): Promise<Response> {
  const headers = { "content-type": "application/json" };
  return fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
}

/** Publishes as docs/publishing.md says: a request that gets no answer is sent again with its idempotency key. */
export async function publish(url: string, message: string): Promise<number> {
  const body = { topic: TOPIC, message, idempotency_key: crypto.randomUUID() };
  let answer: Response | undefined;
  await until("an answer to the publish", async () => {
    answer = await post(`${url}/publish`, body).catch(() => undefined);
    return answer !== undefined;
  });
  if (answer === undefined) throw new Error("there is an answer");
  expect(answer.status, await answer.clone().text()).toBe(200);
  return ((await answer.json()) as { delivered: number }).delivered;
}
