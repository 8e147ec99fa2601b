// Two nodes over Redis under load: publishers that retry until they are acknowledged, and clients of every kind that keep a
// journal each. A test stops, kills and empties things meanwhile, then lets `check` compare the journals with the history.
import { expect } from "bun:test";
import { ShardMap } from "../../../src/engines/redis/shard-map";
import type { Position } from "../../../src/relay/contracts/publication";
import { sdk } from "../centrifuge/sdk";
import { Client } from "../clients/client";
import { Acknowledged, Journal, PlainJournal } from "../clients/journal";
import type { ResumingClient } from "../clients/resuming-client";
import { ResumingSocket } from "../clients/resuming-socket";
import { ResumingStream } from "../clients/resuming-stream";
import type { RedisServer } from "../engines/redis-server";
import { freePort } from "../machine/free-port";
import { seeded } from "../machine/seeded-random";
import { until } from "../wait";
import { RelayProcess } from "./relay-process";

const PUBLISHERS = 4;
/** So many are acknowledged at least, however slow the machine is. */
const PUBLICATIONS_MIN = 200;
const NODES = [0, 1] as const;
/** No publish may take longer than this, whatever happens to Redis: a call is given up after 4 s, on a busy machine a little later. */
const ANSWER_MS = 20_000;

type ClientKind = "socket" | "stream" | "sdk" | "plain";

interface PlainClient {
  readonly name: string;
  readonly topic: string;
  readonly client: Client;
  readonly journal: PlainJournal;
}

interface TopicHistory {
  readonly top: Position;
  readonly texts: readonly string[];
}

export interface Expectations {
  /** How many losses clients must have been told of at least; 0: not a single one. */
  readonly lossesMin?: number;
  /** Whether a plain client may have missed publications. */
  readonly plainClients?: "gapless" | "may have gaps";
}

export class LoadedCluster implements AsyncDisposable {
  readonly random: () => number;
  readonly nodes: RelayProcess[] = [];
  readonly journals: Journal[] = [];
  readonly #env: Record<string, string>;
  readonly #topics: readonly string[];
  /** A node keeps its port over restarts, so that clients find it again. */
  readonly #ports = NODES.map(freePort);
  readonly #acknowledged = new Acknowledged();
  readonly #plainClients: PlainClient[] = [];
  readonly #resumingClients: ResumingClient[] = [];
  readonly #closeClient: (() => unknown)[] = [];
  #publishers: Promise<void>[] = [];
  #isPublishing = true;
  #failedAttempts = 0;

  private constructor(servers: readonly RedisServer[], env: Record<string, string>) {
    const seed = Number(process.env.BATON_SEED ?? Date.now() % 2 ** 32);
    console.log(`seed ${seed}`);
    this.random = seeded(seed);
    this.#env = {
      BATON_ENGINE: servers.map(({ url }) => url).join(),
      BATON_REDIS_PREFIX: crypto.randomUUID(),
      BATON_HISTORY_SIZE: "100000",
      BATON_IDEMPOTENCY_MAX: "1000000",
      BATON_LOG_LEVEL: "info",
      ...env,
    };
    this.#topics = topicsOnEach(servers);
  }

  /** Starts the nodes, connects the clients and begins to publish. */
  static async start(
    servers: readonly RedisServer[],
    env: Record<string, string> = {},
  ): Promise<LoadedCluster> {
    const cluster = new LoadedCluster(servers, env);
    try {
      await cluster.#start();
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #start(): Promise<void> {
    for (const node of NODES) await this.startNode(node);
    for (const node of NODES) {
      for (const kind of ["socket", "socket", "stream", "sdk", "plain"] as const) {
        await this.#connect(node, kind);
      }
    }
    const areReady = () => this.#resumingClients.every(({ ready }) => ready);
    await until("all clients to be subscribed", areReady);
    this.#publishers = Array.from({ length: PUBLISHERS }, (_, i) => this.#publish(i));
  }

  async startNode(which: number): Promise<void> {
    const PORT = String(this.#ports[which]);
    this.nodes[which] = await RelayProcess.start({ ...this.#env, PORT });
  }

  async killNode(which: number): Promise<void> {
    this.nodes[which]?.signal("SIGKILL");
    await this.nodes[which]?.exited;
  }

  /** Resolves when each client has received something new in each topic. */
  async untilAllReceive(): Promise<void> {
    const before = this.journals.map(({ count }) => count);
    const haveNew = () => this.journals.every(({ count }, i) => count > (before[i] as number));
    await until("all clients to receive", haveNew);
  }

  /** Resolves when each client was told of so many losses in each topic. */
  untilEachLost(times: number): Promise<void> {
    const wereTold = () => this.journals.every(({ losses }) => losses >= times);
    return until(`${times} losses at each client`, wereTold);
  }

  /** Waits for a random time. */
  pause(leastMs: number, mostMs: number): Promise<void> {
    return Bun.sleep(leastMs + this.random() * (mostMs - leastMs));
  }

  /** Stops publishing, waits until everything has arrived, and compares. */
  async check({ lossesMin = 0, plainClients = "gapless" }: Expectations = {}): Promise<void> {
    await until("enough publications", () => this.#acknowledged.size > PUBLICATIONS_MIN);
    this.#isPublishing = false;
    await Promise.all(this.#publishers);
    await this.#untilHealthy();
    expect(this.#acknowledged.faults).toEqual([]);
    const histories = await this.#histories();
    await this.#checkJournals(histories);
    const losses = this.journals.reduce((sum, journal) => sum + journal.losses, 0);
    if (lossesMin === 0) expect(losses).toBe(0);
    else expect(losses).toBeGreaterThanOrEqual(lossesMin);
    for (const { faults } of this.#resumingClients) expect(faults).toEqual([]);
    await this.#checkPlainClients(histories, plainClients);
    this.#report(losses);
    for (const close of this.#closeClient) await close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isPublishing = false;
    for (const node of this.nodes) await node[Symbol.asyncDispose]();
  }

  #url(which: number): string {
    return `http://127.0.0.1:${this.#ports[which]}`;
  }

  async #register(which: number): Promise<string> {
    const node = this.nodes[which] as RelayProcess;
    return node.register(`user${Math.floor(this.random() * 5)}`);
  }

  async #connect(node: number, kind: ClientKind): Promise<void> {
    const name = `${kind} ${this.#closeClient.length}`;
    if (kind === "plain") return this.#connectPlain(node, name);
    const journals = new Map(
      this.#topics.map((topic) => [
        topic,
        new Journal(`${name}: ${topic}`, topic, this.#acknowledged),
      ]),
    );
    this.journals.push(...journals.values());
    if (kind === "sdk") this.#connectSdk(node, journals);
    else this.#connectResuming(node, kind, journals);
  }

  async #connectPlain(node: number, name: string): Promise<void> {
    for (const topic of this.#topics) {
      const client = await Client.open(await this.#register(node));
      client.send({ topics: [topic] });
      const journal = new PlainJournal();
      this.#plainClients.push({ name: `${name}: ${topic}`, topic, client, journal });
      this.#closeClient.push(() => client.drop());
    }
  }

  #connectSdk(node: number, journals: ReadonlyMap<string, Journal>): void {
    const client = sdk(this.#url(node));
    for (const [topic, journal] of journals) {
      const subscription = client.newSubscription(topic, { recoverable: true, positioned: true });
      let epoch = "";
      subscription.on("subscribed", ({ wasRecovering, recovered, streamPosition }) => {
        epoch = streamPosition?.epoch ?? "";
        if (wasRecovering && recovered) return;
        const position = { epoch, offset: streamPosition?.offset ?? 0 };
        journal.begin(position, wasRecovering ? "lost" : "first");
      });
      subscription.on("publication", ({ data, offset = 0 }) => {
        journal.receive(String(data), { epoch, offset });
      });
      subscription.subscribe();
    }
    client.connect();
    this.#closeClient.push(() => client.disconnect());
  }

  #connectResuming(
    node: number,
    kind: "socket" | "stream",
    journals: ReadonlyMap<string, Journal>,
  ): void {
    const Kind = kind === "socket" ? ResumingSocket : ResumingStream;
    const client = new Kind({
      topics: this.#topics,
      register: () => this.#register(node),
      onPublication: (topic, data, position) => journals.get(topic)?.receive(data, position),
      onPosition: (topic, position, why) => journals.get(topic)?.begin(position, why),
    });
    this.#resumingClients.push(client);
    this.#closeClient.push(() => client.stop());
  }

  /** Publishes one text after the other, each with its idempotency key until it is acknowledged. */
  async #publish(publisher: number): Promise<void> {
    for (let i = 0; this.#isPublishing; i++) {
      const text = `p${publisher}-${i}`;
      const topic = this.#topics[Math.floor(this.random() * this.#topics.length)] as string;
      for (;;) {
        const position = await this.#tryToPublish(topic, text);
        if (position !== undefined) {
          this.#acknowledged.add(topic, text, position);
          break;
        }
        this.#failedAttempts++;
        this.#acknowledged.retried.add(text);
        await Bun.sleep(10);
      }
      await Bun.sleep(this.random() * 4);
    }
  }

  /** Resolves with undefined when the publication was not acknowledged. */
  async #tryToPublish(topic: string, text: string): Promise<Position | undefined> {
    const node = Math.floor(this.random() * NODES.length);
    const began = performance.now();
    const answer = await fetch(`${this.#url(node)}/publish`, {
      method: "POST",
      body: JSON.stringify({ topic, message: text, idempotency_key: text }),
      headers: { "content-type": "application/json" },
    }).catch(() => undefined);
    const body = await answer?.text().catch(() => undefined);
    const tookMs = performance.now() - began;
    if (tookMs > ANSWER_MS) this.#acknowledged.faults.push(`an answer after ${tookMs} ms`);
    if (body === undefined || answer?.status === 503) return undefined;
    if (answer?.status !== 200) this.#acknowledged.faults.push(`${answer?.status} ${body}`);
    return JSON.parse(body) as Position;
  }

  async #untilHealthy(): Promise<void> {
    for (const node of NODES) {
      // While a node is between two workers, nobody listens there.
      const isHealthy = () =>
        fetch(`${this.#url(node)}/health`).then(
          ({ status }) => status === 200,
          () => false,
        );
      await until("the nodes to be healthy", isHealthy);
    }
  }

  /** Reads each topic's history from both nodes, which must agree. */
  async #histories(): Promise<ReadonlyMap<string, TopicHistory>> {
    const histories = new Map<string, TopicHistory>();
    for (const topic of this.#topics) {
      const [first, second] = await Promise.all(NODES.map((node) => this.#history(node, topic)));
      expect(first?.top).toEqual(second?.top as Position);
      histories.set(topic, first as TopicHistory);
    }
    return histories;
  }

  async #history(node: number, topic: string): Promise<TopicHistory> {
    const relay = this.nodes[node] as RelayProcess;
    const { epoch, offset, publications } = await relay.wholeHistory(topic);
    return { top: { epoch, offset }, texts: publications.map(({ data }) => data) };
  }

  async #checkJournals(histories: ReadonlyMap<string, TopicHistory>): Promise<void> {
    const isComplete = ({ position, topic }: Journal) => {
      const top = histories.get(topic)?.top;
      return position?.epoch === top?.epoch && position?.offset === top?.offset;
    };
    // What is missing after that is shown by the check of its journal.
    const areComplete = () => this.journals.every(isComplete);
    await until("all publications to arrive", areComplete).catch(() => {});
    for (const journal of this.journals) {
      journal.check(histories.get(journal.topic)?.top as Position);
    }
  }

  async #checkPlainClients(
    histories: ReadonlyMap<string, TopicHistory>,
    gaps: "gapless" | "may have gaps",
  ): Promise<void> {
    for (const { name, topic, client, journal } of this.#plainClients) {
      // A plain client whose node was killed does not reconnect.
      if (await Promise.race([client.closed, undefined])) continue;
      journal.texts.push(...(await client.rest()));
      const { texts } = histories.get(topic) as TopicHistory;
      journal.check(name, texts, this.#acknowledged.retried, gaps);
    }
  }

  #report(losses: number): void {
    const received = this.journals.reduce((sum, journal) => sum + journal.count, 0);
    console.log(
      `${this.#acknowledged.size} acknowledged, ${this.#failedAttempts} attempts failed, ${received} received, ${losses} losses`,
    );
  }
}

/** Two topics on each server at least. */
function topicsOnEach(servers: readonly RedisServer[]): string[] {
  const shards = new ShardMap(
    servers.map(({ url }) => url),
    (url) => servers.find((server) => server.url === url),
  );
  const names = Array.from({ length: 50 }, (_, i) => `topic${i}`);
  return servers.flatMap((server) =>
    names.filter((name) => shards.of(name) === server).slice(0, 2),
  );
}
