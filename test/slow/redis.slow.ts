// Two nodes over Redis, with publishers that try again and clients of all kinds, while Redis or a node is stopped, killed, emptied:
// what was acknowledged is delivered or recovered, or its clients are told that it is not; nothing twice, everything in order.
// Rows F2, F11, G2 to G6 and G8 of the fault catalogue. BATON_SEED repeats the moments, though not the machine.

import { afterEach, expect, test } from "bun:test";
import { ShardMap } from "../../src/engines/redis/shard-map";
import { Client } from "../support/clients/client";
import { Acknowledged, Journal, PlainJournal } from "../support/clients/journal";
import {
  type Place,
  type Resuming,
  ResumingSocket,
  ResumingStream,
} from "../support/clients/resuming-client";
import { sdk } from "../support/clients/sdk";
import { RedisServer } from "../support/engines/redis-server";
import { seeded } from "../support/machine/seeded-random";
import { RelayProcess } from "../support/relay/relay-process";
import { until } from "../support/wait";

const LONG_MS = 30_000;
const PUBLISHERS = 4;

/** A port that was free a moment ago, so that every life of a node has the same address. */
function freePort(): string {
  using server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  return String(server.port);
}

const stack: { close(): unknown }[] = [];
afterEach(async () => {
  for (const { close } of stack.splice(0).reverse()) await close();
});

class Storm {
  readonly random: () => number;
  readonly #env: Record<string, string>;
  readonly topics: string[];
  readonly nodes: RelayProcess[] = [];
  readonly ports: string[];
  readonly acknowledged = new Acknowledged();
  readonly journals: Journal[] = [];
  readonly plain: { name: string; topic: string; client: Client; journal: PlainJournal }[] = [];
  readonly #clients: (() => unknown)[] = [];
  readonly #resuming: Resuming[] = [];
  #publishing = true;
  #publishers: Promise<void>[] = [];
  failures = 0;

  constructor(servers: readonly RedisServer[], env: Record<string, string>) {
    const seed = Number(process.env.BATON_SEED ?? Date.now() % 2 ** 32);
    console.log(`seed ${seed}`);
    this.random = seeded(seed);
    this.ports = [freePort(), freePort()];
    this.#env = {
      BATON_ENGINE: servers.map(({ url }) => url).join(),
      BATON_REDIS_PREFIX: crypto.randomUUID(),
      BATON_HISTORY_SIZE: "100000",
      BATON_IDEMPOTENCY_MAX: "1000000",
      BATON_LOG_LEVEL: "info",
      ...env,
    };
    // At least one of each server.
    const ring = new ShardMap(
      servers.map(({ url }) => url),
      (url) => servers.find((server) => server.url === url),
    );
    const names = Array.from({ length: 50 }, (_, i) => `topic${i}`);
    this.topics = servers.flatMap((one) =>
      names.filter((name) => ring.of(name) === one).slice(0, 2),
    );
  }

  async start(): Promise<void> {
    for (const which of [0, 1]) await this.startNode(which);
    for (const which of [0, 1]) {
      for (const kind of ["socket", "socket", "stream", "sdk", "plain"] as const) {
        await this.#join(which, kind);
      }
    }
    await until("all to be in", () => this.#resuming.every(({ ready }) => ready), LONG_MS);
    this.#publishers = Array.from({ length: PUBLISHERS }, (_, i) => this.#publish(i));
  }

  async startNode(which: number): Promise<void> {
    const node = await RelayProcess.start({ ...this.#env, PORT: this.ports[which] as string });
    this.nodes[which] = node;
    stack.push({ close: () => node[Symbol.asyncDispose]() });
  }

  async killNode(which: number): Promise<void> {
    this.nodes[which]?.signal("SIGKILL");
    await this.nodes[which]?.exited;
  }

  url(which: number): string {
    return `http://127.0.0.1:${this.ports[which]}`;
  }

  pause(least: number, most: number): Promise<void> {
    return Bun.sleep(least + this.random() * (most - least));
  }

  async register(which: number): Promise<string> {
    const node = this.nodes[which] as RelayProcess;
    return node.register(`user${Math.floor(this.random() * 5)}`);
  }

  async #join(which: number, kind: "socket" | "stream" | "sdk" | "plain"): Promise<void> {
    const name = `${kind} ${this.#clients.length}`;
    const { topics } = this;
    const journals = new Map(
      topics.map((topic) => [topic, new Journal(`${name}: ${topic}`, topic, this.acknowledged)]),
    );
    if (kind === "plain") {
      for (const topic of topics) {
        const client = await Client.open(await this.register(which));
        client.send({ topics: [topic] });
        this.plain.push({ name: `${name}: ${topic}`, topic, client, journal: new PlainJournal() });
        this.#clients.push(() => client.drop());
      }
      return;
    }
    this.journals.push(...journals.values());
    if (kind === "sdk") {
      const client = sdk(this.url(which));
      for (const topic of topics) {
        const journal = journals.get(topic) as Journal;
        const subscription = client.newSubscription(topic, { recoverable: true, positioned: true });
        let epoch = "";
        subscription.on("subscribed", ({ wasRecovering, recovered, streamPosition }) => {
          epoch = streamPosition?.epoch ?? "";
          if (wasRecovering && recovered) return;
          const place = { epoch, offset: streamPosition?.offset ?? 0 };
          journal.entered(place, wasRecovering);
        });
        subscription.on("publication", ({ data, offset = 0 }) => {
          journal.take(String(data), { epoch, offset });
        });
        subscription.subscribe();
      }
      client.connect();
      this.#clients.push(() => client.disconnect());
      return;
    }
    const Kind = kind === "socket" ? ResumingSocket : ResumingStream;
    const client = new Kind({
      topics,
      register: () => this.register(which),
      take: (topic, data, place) => journals.get(topic)?.take(data, place),
      entered: (topic, place, isLost) => journals.get(topic)?.entered(place, isLost),
    });
    this.#resuming.push(client);
    this.#clients.push(() => client.stop());
  }

  /** One after the other, each with its key until it is acknowledged. */
  async #publish(number: number): Promise<void> {
    for (let i = 0; this.#publishing; i++) {
      const message = `p${number}-${i}`;
      const topic = this.topics[Math.floor(this.random() * this.topics.length)] as string;
      for (;;) {
        const place = await this.#attempt(topic, message);
        if (place !== undefined) {
          this.acknowledged.add(topic, message, place);
          break;
        }
        this.failures++;
        this.acknowledged.retried.add(message);
        await Bun.sleep(10);
      }
      await Bun.sleep(this.random() * 4);
    }
  }

  async #attempt(topic: string, message: string): Promise<Place | undefined> {
    const which = Math.floor(this.random() * 2);
    const began = performance.now();
    const answer = await fetch(`${this.url(which)}/publish`, {
      method: "POST",
      body: JSON.stringify({ topic, message, idempotency_key: message }),
      headers: { "content-type": "application/json" },
    }).catch(() => undefined);
    const text = await answer?.text().catch(() => undefined);
    const took = performance.now() - began;
    if (took > 6_000) this.acknowledged.faults.push(`an answer after ${took} ms`);
    if (text === undefined || answer?.status === 503) return undefined;
    if (answer?.status !== 200) this.acknowledged.faults.push(`${answer?.status} ${text}`);
    return JSON.parse(text) as Place;
  }

  /** Waits until all is said and given, and compares. */
  async check({ losses = 0, isWhole = true } = {}): Promise<void> {
    this.#publishing = false;
    await Promise.all(this.#publishers);
    for (const which of [0, 1]) {
      // While all workers of a node are on their way, nobody listens there.
      const healthy = () =>
        fetch(`${this.url(which)}/health`).then(
          ({ status }) => status === 200,
          () => false,
        );
      await until("the nodes to be healthy", healthy, LONG_MS);
    }
    expect(this.acknowledged.faults).toEqual([]);
    const tops = new Map<string, Place>();
    const texts = new Map<string, string[]>();
    for (const topic of this.topics) {
      const pages = await Promise.all([0, 1].map((which) => this.#history(which, topic)));
      expect(pages[0]?.top).toEqual(pages[1]?.top as Place);
      tops.set(topic, pages[0]?.top as Place);
      texts.set(topic, pages[0]?.texts as string[]);
    }
    const isThere = ({ at, topic }: Journal) => {
      const top = tops.get(topic);
      return at?.epoch === top?.epoch && at?.offset === top?.offset;
    };
    await until("all to arrive", () => this.journals.every(isThere), LONG_MS).catch(() => {});
    for (const journal of this.journals) journal.check(tops.get(journal.topic) as Place);
    const told = this.journals.reduce((sum, journal) => sum + journal.losses, 0);
    if (losses === 0) expect(told).toBe(0);
    else expect(told).toBeGreaterThanOrEqual(losses);
    for (const { faults } of this.#resuming) expect(faults).toEqual([]);
    for (const { name, topic, client, journal } of this.plain) {
      // Its node has died; a plain client that comes back is another one.
      if (await Promise.race([client.closed, undefined])) continue;
      journal.texts.push(...(await client.rest()));
      journal.check(name, texts.get(topic) as string[], this.acknowledged.retried, isWhole);
    }
    expect(this.acknowledged.size).toBeGreaterThan(200);
    const count = this.journals.reduce((sum, journal) => sum + journal.count, 0);
    console.log(
      `${this.acknowledged.size} acknowledged, ${this.failures} attempts failed, ${count} given, ${told} losses told`,
    );
    for (const close of this.#clients) await close();
  }

  async #history(which: number, topic: string): Promise<{ top: Place; texts: string[] }> {
    const texts: string[] = [];
    for (;;) {
      const path = `/topics/${topic}/history?limit=1000&since=${texts.length}`;
      const answer = await fetch(this.url(which) + path);
      const { epoch, offset, publications } = (await answer.json()) as Place & {
        publications: { data: string }[];
      };
      texts.push(...publications.map(({ data }) => data));
      if (publications.length === 0) return { top: { epoch, offset }, texts };
    }
  }
}

async function storm(
  options: readonly { durable: boolean }[],
  env: Record<string, string> = {},
): Promise<{ all: Storm; servers: RedisServer[] }> {
  const servers = await Promise.all(options.map((one) => RedisServer.start(one)));
  for (const server of servers) stack.push({ close: () => server[Symbol.asyncDispose]() });
  const all = new Storm(servers, env);
  await all.start();
  return { all, servers };
}

const DURABLE = { durable: true };
const FLEETING = { durable: false };

test("G4: Redis is stopped for five seconds, twice", async () => {
  const { all, servers } = await storm([DURABLE]);
  for (let round = 0; round < 2; round++) {
    await all.pause(500, 2_000);
    servers[0]?.signal("SIGSTOP");
    await Bun.sleep(5_000);
    servers[0]?.signal("SIGCONT");
  }
  await all.pause(500, 2_000);
  await all.check();
}, 120_000);

test("G2, G3: Redis is killed and started again with its data, again and again", async () => {
  const { all, servers } = await storm([DURABLE]);
  for (let round = 0; round < 8; round++) {
    await all.pause(200, 1_200);
    await servers[0]?.kill();
    await all.pause(0, 400);
    await servers[0]?.run();
  }
  await all.pause(500, 1_000);
  await all.check();
}, 120_000);

test("G2, G3: one of two Redis servers is killed and started again, either in turn", async () => {
  const { all, servers } = await storm([DURABLE, DURABLE]);
  for (let round = 0; round < 6; round++) {
    const server = servers[round % 2] as RedisServer;
    await all.pause(200, 1_200);
    await server.kill();
    await all.pause(0, 400);
    await server.run();
  }
  await all.pause(500, 1_000);
  await all.check();
}, 120_000);

test("G3, G5: Redis is killed and started again without its data, again and again", async () => {
  const { all, servers } = await storm([FLEETING]);
  for (let round = 0; round < 6; round++) {
    await all.pause(500, 1_500);
    await servers[0]?.kill();
    await all.pause(0, 400);
    await servers[0]?.run();
  }
  await all.pause(500, 1_000);
  // Each client was told of each, if it was in when it happened; most were.
  await all.check({ losses: all.journals.length * 4, isWhole: false });
}, 120_000);

test("G6: all that Redis has is thrown away, again and again", async () => {
  const { all, servers } = await storm([FLEETING]);
  for (let round = 0; round < 6; round++) {
    await all.pause(500, 1_500);
    await servers[0]?.command("FLUSHALL");
  }
  await all.pause(500, 1_000);
  await all.check({ losses: all.journals.length * 4, isWhole: false });
}, 120_000);

test("G8: connections to Redis are cut, of calls and of subscriptions", async () => {
  const { all, servers } = await storm([FLEETING]);
  for (let round = 0; round < 20; round++) {
    await all.pause(50, 400);
    await servers[0]?.command("CLIENT", "KILL", "TYPE", all.random() < 0.5 ? "normal" : "pubsub");
  }
  await all.pause(500, 1_000);
  await all.check();
}, 120_000);

test("F2: a node is killed and another one takes its place, either in turn", async () => {
  const { all } = await storm([FLEETING]);
  for (let round = 0; round < 6; round++) {
    await all.pause(300, 1_200);
    await all.killNode(round % 2);
    await all.pause(0, 300);
    await all.startNode(round % 2);
  }
  await all.pause(500, 1_000);
  await all.check({ isWhole: false });
}, 120_000);

/** The worker processes of a node. */
async function workersOf({ pid }: RelayProcess): Promise<number[]> {
  const text = await Bun.file(`/proc/${pid}/task/${pid}/children`).text();
  return text.trim().split(" ").filter(Boolean).map(Number);
}

test("F11: all workers of both nodes are replaced, again and again", async () => {
  const { all } = await storm([FLEETING], { BATON_WORKERS: "2", BATON_SHUTDOWN_MS: "300" });
  for (let round = 0; round < 4; round++) {
    await all.pause(200, 800);
    const node = all.nodes[round % 2] as RelayProcess;
    const before = await workersOf(node);
    node.signal("SIGHUP");
    const isNew = async () => {
      const now = await workersOf(node);
      return now.length === 2 && now.every((pid) => !before.includes(pid));
    };
    await until("all workers to be new", isNew, LONG_MS);
  }
  await all.pause(500, 1_000);
  await all.check({ isWhole: false });
}, 120_000);

test("F2, F8: workers of nodes with two are killed, one after the other", async () => {
  const { all } = await storm([FLEETING], { BATON_WORKERS: "2" });
  for (let round = 0; round < 6; round++) {
    await all.pause(300, 1_200);
    const pids = await workersOf(all.nodes[round % 2] as RelayProcess);
    process.kill(pids[Math.floor(all.random() * pids.length)] as number, "SIGKILL");
  }
  await all.pause(500, 1_000);
  await all.check({ isWhole: false });
}, 120_000);
