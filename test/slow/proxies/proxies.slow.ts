// Every reverse proxy with the configuration that docs/proxies.md shows, in front of a real relay, with every kind of client.
import { describe, expect, test } from "bun:test";
import type { Centrifuge } from "centrifuge";
import { EventSource } from "eventsource";
import { sdk, type Transport } from "../../support/centrifuge/sdk";
import { ResumingSocket } from "../../support/clients/resuming-socket";
import { ResumingStream } from "../../support/clients/resuming-stream";
import { Folder } from "../../support/machine/folder";
import { isReloadable, type ProxyName, ReverseProxy } from "../../support/proxies/reverse-proxy";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

/** The examples of the page. */
const CONFIGURATIONS: Record<ProxyName, string> = {
  nginx: "nginx.conf",
  HAProxy: "haproxy.cfg",
  Caddy: "Caddyfile",
  Apache: "apache.conf",
  lighttpd: "lighttpd.conf",
  Varnish: "baton.vcl",
  Envoy: "envoy.yaml",
};
const NAMES = Object.keys(CONFIGURATIONS) as ProxyName[];

const TOPIC = "a/b#c$d%é";
const TRANSPORTS: readonly Transport[] = ["websocket", "http_stream", "sse"];
const LATE_MS = 1_000;

const startProxy = (name: ProxyName, relay: RelayProcess): Promise<ReverseProxy> =>
  ReverseProxy.start(name, CONFIGURATIONS[name], relay.port);

interface Registration {
  readonly url: string;
  readonly sse: string;
}

async function post(url: string, body: unknown): Promise<Response> {
  const headers = { "content-type": "application/json" };
  return fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
}

/** A message that only asks whether a client is there. */
const THERE = "there";

const RESUMING = { "json socket": ResumingSocket, stream: ResumingStream };

/** One client of each kind through a proxy. */
class Clients implements Disposable {
  readonly #url: string;
  /** What each client has received, by its name. */
  readonly received = new Map<string, readonly string[]>();
  readonly #ends: (() => unknown)[] = [];

  constructor(url: string) {
    this.#url = url;
  }

  async register(): Promise<Registration> {
    const answer = await post(`${this.#url}/register`, { user_id: 1 });
    return (await answer.json()) as Registration;
  }

  /** Those that miss nothing when their connection is lost. */
  connectResuming(): void {
    for (const [name, Kind] of Object.entries(RESUMING)) {
      const add = this.#listOf(name);
      const client = new Kind({
        topics: [TOPIC],
        register: async () => (await this.register()).url,
        onPublication: (_, data) => add(data),
      });
      this.#ends.push(() => client.stop());
    }
    for (const transport of TRANSPORTS) this.#connectSdk(transport);
  }

  #connectSdk(transport: Transport): void {
    const add = this.#listOf(`SDK over ${transport}`);
    const client: Centrifuge = sdk(this.#url, transport);
    const subscription = client.newSubscription(TOPIC);
    subscription.on("publication", ({ data }) => add(data));
    subscription.subscribe();
    client.connect();
    this.#ends.push(() => client.disconnect());
  }

  async connectPlain(): Promise<void> {
    const add = this.#listOf("plain socket");
    const socket = new WebSocket((await this.register()).url);
    socket.onopen = () => socket.send(JSON.stringify({ topics: [TOPIC] }));
    socket.onmessage = ({ data }) => add(data);
    this.#ends.push(() => socket.close());
  }

  async connectEventSource(): Promise<void> {
    const add = this.#listOf("EventSource");
    const { sse } = await this.register();
    const events = new EventSource(`${sse}?topics=${encodeURIComponent(TOPIC)}`);
    events.addEventListener(TOPIC, ({ data }) => add(data));
    this.#ends.push(() => events.close());
  }

  /** Resolves when so many clients are subscribed. */
  subscribed(count: number): Promise<void> {
    const there = async () => (await publish(this.#url, THERE)) === count;
    return until("all clients to subscribe", there, 10_000);
  }

  /** Begins the list of a client; messages that only ask whether it is there do not count. */
  #listOf(name: string): (message: string) => void {
    const list: string[] = [];
    this.received.set(name, list);
    return (message) => message === THERE || list.push(message);
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

/** Publishes as docs/publishing.md says: a request that gets no answer is sent again with its idempotency key. */
async function publish(url: string, message: string): Promise<number> {
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

/** As many bytes as a body may have, in messages that are as large as they may be. */
function fullBatch(): { topic: string; message: string }[] {
  const message = "x".repeat(64_000);
  const batch = Array.from({ length: 16 }, () => ({ topic: TOPIC, message }));
  const bytes = Buffer.byteLength(JSON.stringify(batch));
  const last = { topic: TOPIC, message: "" };
  last.message = "y".repeat(1024 * 1024 - bytes - Buffer.byteLength(JSON.stringify(last)) - 1);
  return [...batch, last];
}

describe.each(NAMES)("%s as docs/proxies.md configures it", (name) => {
  test("serves every kind of client, in time, with large bodies and every topic", async () => {
    await using relay = await RelayProcess.start();
    await using proxy = await startProxy(name, relay);
    using clients = new Clients(proxy.url);
    const { url, sse } = await clients.register();
    expect(url).toStartWith(proxy.url.replace("http", "ws"));
    expect(sse).toStartWith(proxy.url);
    clients.connectResuming();
    await clients.connectPlain();
    await clients.connectEventSource();
    await clients.subscribed(7);
    const all: string[] = [];
    for (let i = 0; i < 5; i++) {
      await publish(proxy.url, `m${i}`);
      all.push(`m${i}`);
      const inTime = () => clients.without(all).length === 0;
      await until("all to have it", inTime, LATE_MS).catch(() => {});
      expect(clients.without(all)).toEqual([]);
    }
    const batch = fullBatch();
    expect((await post(`${proxy.url}/publish`, batch)).status).toBe(200);
    all.push(...batch.map(({ message }) => message));
    await until("the batch", () => clients.without(all).length === 0, 5_000).catch(() => {});
    expect(clients.without(all)).toEqual([]);
    const path = `/topics/${encodeURIComponent(TOPIC)}/history?limit=1`;
    const history = await fetch(proxy.url + path);
    expect(await history.json()).toMatchObject({ publications: [{ data: expect.anything() }] });
    const unknown = await fetch(`${proxy.url}/ws/unknown`);
    expect([unknown.status, await unknown.json()]).toMatchObject([404, { error: {} }]);
  }, 30_000);
});

describe.each(NAMES.filter(isReloadable))("%s as docs/proxies.md configures it", (name) => {
  test("gets a new configuration, and clients that resume lose nothing", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "1000" });
    await using proxy = await startProxy(name, relay);
    using clients = new Clients(proxy.url);
    clients.connectResuming();
    await clients.subscribed(5);
    const all: string[] = [];
    let reloaded: Promise<void> | undefined;
    for (let i = 0; i < 60; i++) {
      if (i === 20) reloaded = proxy.reload();
      await publish(proxy.url, `m${i}`);
      all.push(`m${i}`);
      await Bun.sleep(25);
    }
    await reloaded;
    await until("all of it", () => clients.without(all).length === 0, 10_000).catch(() => {});
    expect(clients.without(all)).toEqual([]);
  }, 40_000);
});

test("nginx as docs/proxies.md configures it keeps an EventSource alive while the relay is away", async () => {
  using folder = new Folder();
  const env = { BATON_ENGINE: `sqlite:${folder.path}/baton.db`, BATON_SHUTDOWN_MS: "200" };
  const relay = await RelayProcess.start(env);
  await using proxy = await startProxy("nginx", relay);
  using clients = new Clients(proxy.url);
  await clients.connectEventSource();
  await clients.subscribed(1);
  relay.signal("SIGTERM");
  expect(await relay.exited).toBe(0);
  const away = await fetch(`${proxy.url}/sse/any`);
  expect([away.status, await away.text()]).toEqual([200, "retry: 2000\n\n"]);
  expect((await fetch(`${proxy.url}/health`)).status).toBe(502);
  // Long enough for the client to try while nobody is there.
  await Bun.sleep(2_500);
  await using next = await RelayProcess.start({ ...env, PORT: `${relay.port}` });
  await publish(next.url, "missed");
  const hasIt = () => clients.without(["missed"]).length === 0;
  await until("the EventSource to have what it missed", hasIt, 10_000);
}, 40_000);
