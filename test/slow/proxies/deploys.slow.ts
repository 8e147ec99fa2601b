// A rolling deploy as docs/operations.md describes it: two nodes over Redis behind a proxy are replaced one after the other, while
// clients of every kind are connected, others come, and a backend publishes. Nothing is lost, and nobody is refused.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "../../support/clients/client";
import { example, ROOT } from "../../support/docs/pages";
import { RedisServer } from "../../support/engines/redis-server";
import { freePort } from "../../support/machine/free-port";
import { Scrape } from "../../support/metrics/scrape";
import { Clients, post, TOPIC } from "../../support/proxies/clients";
import { ReverseProxy } from "../../support/proxies/reverse-proxy";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const CLIENTS = { json: 80, websocket: 60, stream: 30, EventSource: 30 };

/** Two nodes of one relay, whose ports stay the same when they are replaced. */
class Nodes implements AsyncDisposable {
  readonly #env: Record<string, string>;
  readonly #nodes: RelayProcess[] = [];

  private constructor(env: Record<string, string>) {
    this.#env = env;
  }

  static async start(env: Record<string, string>): Promise<Nodes> {
    const nodes = new Nodes(env);
    for (const _ of [1, 2]) nodes.#nodes.push(await nodes.#startOne(freePort()));
    return nodes;
  }

  get ports(): number[] {
    return this.#nodes.map(({ port }) => port);
  }

  /** Ends this node, starts another one in its place, and resolves when that is ready and the proxy has noticed. */
  async replace(index: number): Promise<void> {
    const old = this.#nodes[index];
    if (old === undefined) throw new Error("there is no such node");
    const { port } = old;
    old.signal("SIGTERM");
    expect(await old.exited).toBe(0);
    expect(old.loggedErrors).toEqual([]);
    const next = await this.#startOne(port);
    this.#nodes[index] = next;
    const hasClients = async () => {
      const metrics = await Scrape.of(`${next.url}/metrics`);
      return metrics.value('baton_connections_opened_total{protocol="plain"}') > 0;
    };
    await until("the proxy to send it a client", hasClients);
  }

  async #startOne(port: number): Promise<RelayProcess> {
    const node = await RelayProcess.start({ ...this.#env, PORT: String(port) });
    const isReady = async () => (await fetch(`${node.url}/health/ready`)).status === 200;
    await until("the node to be ready", isReady);
    return node;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.#nodes) await node[Symbol.asyncDispose]();
  }
}

/** What goes on through the proxy until it is stopped: one call after the other, none of which is tried again. */
class Load {
  readonly published: string[] = [];
  /** What was not answered as it should. */
  readonly refused: string[] = [];
  visits = 0;
  readonly #url: string;
  #isStopped = false;
  readonly #ended: Promise<unknown>;

  constructor(url: string) {
    this.#url = url;
    this.#ended = Promise.all([
      this.#repeat(() => this.#publish()),
      this.#repeat(() => this.#visit()),
    ]);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#ended;
  }

  async #repeat(call: () => Promise<void>): Promise<void> {
    while (!this.#isStopped) {
      await call().catch((error) => this.refused.push(String(error)));
      await Bun.sleep(10);
    }
  }

  async #publish(): Promise<void> {
    const message = `m${this.published.length}`;
    const body = { topic: TOPIC, message, idempotency_key: crypto.randomUUID() };
    const answer = await post(`${this.#url}/publish`, body);
    if (answer.status === 200) this.published.push(message);
    else this.refused.push(`publish: ${answer.status} ${await answer.text()}`);
  }

  /** A client that comes for the first time, with registration and handshake. */
  async #visit(): Promise<void> {
    const answer = await post(`${this.#url}/register`, { user_id: `visitor ${this.visits}` });
    const { url } = (await answer.json()) as { url?: string };
    if (url === undefined) throw new Error(`register: ${answer.status}`);
    const client = await Client.open(url);
    client.drop();
    this.visits++;
  }
}

const caddyfile = () =>
  readFileSync(join(ROOT, "docs/deploy/Caddyfile"), "utf8")
    .replace(":8000 {", "relay.example.com {")
    .replace("baton-1", "10.0.0.1")
    .replace("baton-2", "10.0.0.2");

test.each([
  ["nginx", () => example("docs/proxies.md", "nodes-nginx.conf"), "0"],
  ["HAProxy", () => example("docs/proxies.md", "nodes-haproxy.cfg"), "3000"],
  ["Caddy", caddyfile, "3000"],
] as const)(
  "behind %s, two nodes are replaced under load: 0 lost, 0 refused",
  async (name, configuration, delayMs) => {
    const redis = await RedisServer.shared();
    await using nodes = await Nodes.start({
      BATON_ENGINE: redis.url,
      BATON_REDIS_PREFIX: crypto.randomUUID(),
      BATON_HISTORY_SIZE: "10000",
      BATON_SHUTDOWN_DELAY_MS: delayMs,
      BATON_SHUTDOWN_MS: "500",
    });
    const [one, two] = nodes.ports;
    const text = configuration()
      .replaceAll("10.0.0.1:8000", `127.0.0.1:${one}`)
      .replaceAll("10.0.0.2:8000", `127.0.0.1:${two}`);
    await using proxy = await ReverseProxy.with(name, text);
    using clients = new Clients(proxy.url);
    await clients.connect(CLIENTS);
    await clients.subscribed();
    const load = new Load(proxy.url);
    for (const index of [0, 1]) await nodes.replace(index);
    await load.stop();
    expect(load.refused).toEqual([]);
    expect(load.published.length).toBeGreaterThan(20);
    expect(load.visits).toBeGreaterThan(20);
    const { published } = load;
    await until("all of it", () => clients.without(published).length === 0).catch(() => {});
    expect(clients.without(published)).toEqual([]);
  },
);

test("behind nginx, SIGHUP replaces the workers of one node under load, twice: 0 lost, 0 refused", async () => {
  await using relay = await RelayProcess.start({
    BATON_WORKERS: "2",
    BATON_HISTORY_SIZE: "10000",
    BATON_SHUTDOWN_MS: "500",
  });
  const text = example("docs/proxies.md", "nodes-nginx.conf").replaceAll(
    /10\.0\.0\.[12]:8000/g,
    `127.0.0.1:${relay.port}`,
  );
  await using proxy = await ReverseProxy.with("nginx", text);
  using clients = new Clients(proxy.url);
  await clients.connect(CLIENTS);
  await clients.subscribed();
  const load = new Load(proxy.url);
  for (let round = 1; round <= 2; round++) {
    relay.signal("SIGHUP");
    const replaced = () => relay.output.split("all workers have been replaced").length > round;
    await until("the workers to be replaced", replaced);
  }
  await load.stop();
  expect(load.refused).toEqual([]);
  expect(load.visits).toBeGreaterThan(20);
  const { published } = load;
  await until("all of it", () => clients.without(published).length === 0).catch(() => {});
  expect(clients.without(published)).toEqual([]);
});
