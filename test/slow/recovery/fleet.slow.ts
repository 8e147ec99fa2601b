// Recovery over a real network that fails: clients of every kind that come back must see everything once, in order.
// Rows A15, C5, C8, D4, E3, E5 and H1 of the fault catalogue.

import { describe, expect, test } from "bun:test";
import { handshake, RawSocket } from "../../support/clients/raw-socket";
import type { ResumingClient, ResumingOptions } from "../../support/clients/resuming-client";
import { ReregisteringSocket, ResumingSocket } from "../../support/clients/resuming-socket";
import { ResumingStream } from "../../support/clients/resuming-stream";
import { memoryKb } from "../../support/machine/processes";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const KINDS = {
  "json sockets that register anew": ReregisteringSocket,
  "json sockets that come back to their address": ResumingSocket,
  streams: ResumingStream,
};

const TOPICS = ["a", "b"];

interface Sent {
  readonly topic: string;
  readonly message: string;
  readonly user_id?: string;
}

/** Clients by user: `each` of every kind. */
function fleetOf(
  relay: RelayProcess,
  each: number,
  options: Partial<ResumingOptions> = {},
): Map<string, ResumingClient> {
  const fleet = new Map<string, ResumingClient>();
  for (const [kind, Kind] of Object.entries(KINDS)) {
    for (let i = 0; i < each; i++) {
      const user = `${kind} ${i}`;
      const register = () => relay.register(user);
      fleet.set(user, new Kind({ topics: TOPICS, register, ...options }));
    }
  }
  return fleet;
}

const allReady = (fleet: ReadonlyMap<string, ResumingClient>): Promise<void> =>
  until("all clients to be in", () => [...fleet.values()].every(({ ready }) => ready), 30_000);

/** Messages to both topics, every third one to a single user. */
function messages(count: number, users: readonly string[], random: () => number): Sent[] {
  return Array.from({ length: count }, (_, i) => {
    const topic = TOPICS[Math.floor(random() * TOPICS.length)] as string;
    const user = users[Math.floor(random() * users.length)] as string;
    return { topic, message: `m${i}`, ...(i % 3 === 0 && { user_id: user }) };
  });
}

/** One by one, in order, so many in a second. */
async function publish(
  relay: RelayProcess,
  sent: readonly Sent[],
  perSecond: number,
): Promise<void> {
  const begun = performance.now();
  for (const [i, body] of sent.entries()) {
    const early = begun + (i * 1_000) / perSecond - performance.now();
    if (early > 1) await Bun.sleep(early);
    const answer = await relay.post("/publish", body);
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
  }
}

/** Waits for all clients to have all, stops them, and compares. */
async function expectAll(
  fleet: ReadonlyMap<string, ResumingClient>,
  sent: readonly Sent[],
  note = "",
): Promise<void> {
  const common = sent.filter(({ user_id }) => user_id === undefined);
  const own = Map.groupBy(sent, ({ user_id }) => user_id ?? "");
  const countOf = (user: string) => common.length + (own.get(user)?.length ?? 0);
  const done = () => [...fleet].every(([user, client]) => client.count >= countOf(user));
  // What is missing then is shown below, client by client.
  await until("all clients to have everything", done, 20_000).catch(() => {});
  for (const [user, client] of fleet) {
    const name = `${user} ${note}`;
    const mine = sent.filter(({ user_id }) => user_id === undefined || user_id === user);
    for (const topic of TOPICS) {
      const expected = mine.filter((one) => one.topic === topic).map(({ message }) => message);
      const got = client.received.get(topic) ?? [];
      // Compared as text first: thousands of long lists are quick that way.
      if (got.join() !== expected.join()) expect(got, name).toEqual(expected);
    }
    expect(client.lost, name).toEqual([]);
    expect(client.faults, name).toEqual([]);
  }
  await Promise.all([...fleet.values()].map((client) => client.stop()));
}

/** Nothing in the log is an error. */
function expectNoErrors(relay: RelayProcess): void {
  expect(linesOf(relay).filter(({ level }) => level >= 50)).toEqual([]);
}

function linesOf(relay: RelayProcess): readonly { level: number; msg: string; code?: number }[] {
  return relay.lines;
}

/** Looks at a process's memory several times a second. */
class Memory implements Disposable {
  readonly #pid: number;
  readonly #timer: Timer;
  readonly before: number;
  peak: number;

  constructor(relay: RelayProcess) {
    this.#pid = relay.pid;
    this.before = memoryKb(this.#pid);
    this.peak = this.before;
    this.#timer = setInterval(() => this.#look(), 50);
  }

  /** By how many KB it has grown at most. */
  get growth(): number {
    this.#look();
    return this.peak - this.before;
  }

  #look(): void {
    this.peak = Math.max(this.peak, memoryKb(this.#pid));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

describe("recovered + live = published, once, in order", () => {
  test("40 clients of each kind behind a proxy that cuts their connections at random see all of 1,500 messages", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "2000" });
    await using network = await TcpProxy.start(relay.url);
    const fleet = fleetOf(relay, 40, { through: network.through });
    await allReady(fleet);
    const sent = messages(1_500, [...fleet.keys()], network.random);
    network.cutEach(20, 800);
    await publish(relay, sent, 300);
    network.keepAll();
    await expectAll(fleet, sent, `seed ${network.seed}`);
    expect(network.cuts).toBeGreaterThan(1_000);
    expectNoErrors(relay);
  }, 60_000);

  test("1,000 clients over an hour's drops in a minute see all of 1,200", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "2000" });
    await using network = await TcpProxy.start(relay.url);
    const fleet = fleetOf(relay, 334, { through: network.through });
    await allReady(fleet);
    const sent = messages(1_200, [...fleet.keys()], network.random);
    // Each connection holds for about five minutes of that hour.
    network.cutEach(200, 10_000);
    await publish(relay, sent, 20);
    network.keepAll();
    await expectAll(fleet, sent, `seed ${network.seed}`);
    expect(network.cuts).toBeGreaterThan(8_000);
    expectNoErrors(relay);
  }, 120_000);

  test("E3: 2,000 clients that drop at once and come back at once, while publishing goes on", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "2000" });
    const fleet = fleetOf(relay, 667);
    await allReady(fleet);
    const sent = messages(200, [...fleet.keys()], Math.random);
    const publishing = publish(relay, sent, 25);
    for (const share of [1, 2]) {
      const past = () => [...fleet.values()].every(({ count }) => count > 25 * share);
      await until("the storm's moment", past, 30_000);
      for (const client of fleet.values()) client.drop();
      const isBack = ({ connectionsLost, ready }: ResumingClient) =>
        connectionsLost >= share && ready;
      await until("all to be back", () => [...fleet.values()].every(isBack), 30_000);
    }
    await publishing;
    await expectAll(fleet, sent);
    expectNoErrors(relay);
  }, 120_000);

  test("H1: after a network that went dead without a word, over one that is slow", async () => {
    await using relay = await RelayProcess.start({
      BATON_LOG_LEVEL: "debug",
      BATON_PING_MS: "300",
      BATON_PONG_MS: "300",
      BATON_HISTORY_SIZE: "2000",
      BATON_BACKPRESSURE_BYTES: "16384",
    });
    await using network = await TcpProxy.start(relay.url);
    const fleet = fleetOf(relay, 10, { through: network.through });
    await allReady(fleet);
    network.stall();
    const sent = messages(600, [...fleet.keys()], network.random).map((one) => ({
      ...one,
      message: one.message + "x".repeat(200),
    }));
    await publish(relay, sent.slice(0, 500), 1_000);
    const givenUp = () => linesOf(relay).filter(({ code }) => code === 4012).length;
    // Not the streams: what the kernel takes for them looks like life.
    await until("the relay to give the sockets up", () => givenUp() >= 20, 10_000);
    network.bytesPerSecond = 60_000;
    network.heal();
    network.cutAll();
    await publish(relay, sent.slice(500), 50);
    await expectAll(fleet, sent, `seed ${network.seed}`);
    expectNoErrors(relay);
  }, 60_000);
});

describe("a history that is too short", () => {
  const SIZE = 50;
  const WAYS = { "json sockets": ResumingSocket, streams: ResumingStream };

  test.each(Object.keys(WAYS) as (keyof typeof WAYS)[])(
    "is told to %s that were away too long, which never get a part",
    async (way) => {
      await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: String(SIZE) });
      // What came is noted in one list with what was told, and the gaps are where the client was told of them.
      const client = new WAYS[way]({ topics: ["a"], register: () => relay.register("u") });
      const got = () => client.received.get("a") ?? [];
      await until("it to be in", () => client.ready);
      let published = 0;
      const publishMore = async (count: number): Promise<void> => {
        const batch = Array.from({ length: count }, () => ({
          topic: "a",
          message: String(published++),
        }));
        const answer = await relay.post("/publish", batch);
        await answer.arrayBuffer();
      };
      for (let round = 0; round < 200; round++) {
        const [before, told, last] = [got().length, client.lost.length, published - 1];
        const away = round % 4 === 0 ? SIZE + (round % 3) - 1 : Math.floor(Math.random() * 100);
        client.drop();
        await publishMore(away + 1);
        await until("it to be back", () => client.connectionsLost > round && client.ready);
        await publishMore(1);
        await until("what is live", () => got().at(-1) === String(published - 1));
        const fresh = got().slice(before).map(Number);
        const whole = Array.from({ length: published - 1 - last }, (_, i) => last + 1 + i);
        if (client.lost.length === told) {
          expect(fresh, `round ${round}`).toEqual(whole);
        } else {
          expect(client.lost.length, `round ${round}`).toBe(told + 1);
          expect(away + 1, `round ${round}`).toBeGreaterThan(SIZE);
          expect(fresh, `round ${round}`).toEqual([published - 1]);
        }
      }
      expect(client.lost.length).toBeGreaterThan(20);
      expect(client.faults).toEqual([]);
      await client.stop();
      expectNoErrors(relay);
    },
    60_000,
  );
});

/** Sees to it that it is given 0, 1, 2… */
class Counter {
  next = 0;
  fault: string | undefined;

  readonly take = (_: string, data: string): void => {
    const number = Number.parseInt(data, 10);
    if (number !== this.next) this.fault ??= `${number} came in place of ${this.next}`;
    this.next = number + 1;
  };
}

/** How each transport connects, stalls, and says where it is. */
interface Transport {
  /** A client that reads all and never comes back. */
  healthy(relay: RelayProcess, take: Counter["take"]): Promise<{ stop(): unknown }>;
  /** A client that can stop reading, subscribed to topic a. */
  raw(url: string): Promise<RawSocket>;
  /** The numbers of the publications in what it has read. */
  numbers(raw: RawSocket): Promise<number[]>;
  /** One that goes on after this number; a plain socket cannot. */
  resume?(options: ResumingOptions, position: { offset: number; epoch: string }): ResumingClient;
}

async function frames(raw: RawSocket): Promise<string[]> {
  const texts: string[] = [];
  for (;;) {
    const frame = await raw.nextFrame().catch(() => undefined);
    if (frame === undefined) return texts;
    if (frame.opcode === 1) texts.push(frame.payload.toString());
  }
}

/** With its query, which RawSocket.upgrade leaves out. */
async function upgrade(url: string): Promise<RawSocket> {
  const { port, pathname, search } = new URL(url);
  const raw = await RawSocket.open(Number(port));
  raw.write(handshake(pathname + search));
  expect(await raw.until("\r\n\r\n")).toStartWith("HTTP/1.1 101");
  return raw;
}

const TRANSPORTS: Record<string, Transport> = {
  "plain sockets": {
    async healthy(relay, take) {
      const socket = new WebSocket(await relay.register("healthy plain"));
      socket.onmessage = ({ data }) => take("a", data);
      await new Promise((resolve) => {
        socket.onopen = resolve;
      });
      socket.send('{"topics":["a"]}');
      await new Promise((resolve) => {
        socket.addEventListener("pong", resolve);
        socket.ping();
      });
      return { stop: () => socket.terminate() };
    },
    async raw(url) {
      const raw = await upgrade(url);
      raw.frame(1, '{"topics":["a"]}');
      raw.frame(9, "");
      expect((await raw.nextFrame()).opcode).toBe(10);
      return raw;
    },
    async numbers(raw) {
      return (await frames(raw)).map((text) => Number.parseInt(text, 10));
    },
  },
  "json sockets": {
    async healthy(relay, take) {
      const register = () => relay.register("healthy json");
      const client = new ResumingSocket({ topics: ["a"], register, onPublication: take });
      await until("it to be in", () => client.ready);
      return client;
    },
    async raw(url) {
      const raw = await upgrade(`${url}?format=json`);
      raw.frame(1, '{"topics":["a"]}');
      await raw.until('"epoch":');
      return raw;
    },
    async numbers(raw) {
      await raw.until("}}}");
      return (await frames(raw)).map((text) => Number.parseInt(JSON.parse(text).data, 10));
    },
    resume(options, position) {
      const client = new ResumingSocket(options);
      client.positions.a = position;
      return client;
    },
  },
  streams: {
    async healthy(relay, take) {
      const register = () => relay.register("healthy stream");
      const client = new ResumingStream({ topics: ["a"], register, onPublication: take });
      await until("it to be in", () => client.ready);
      return client;
    },
    async raw(url) {
      const { port, pathname } = new URL(url);
      const raw = await RawSocket.open(Number(port));
      const path = `${pathname.replace("/ws/", "/sse/")}?topics=a`;
      raw.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n`);
      await raw.until("id: a=");
      return raw;
    },
    async numbers(raw) {
      await raw.closed;
      // Blocks that are whole: the last line of one is empty.
      const blocks = raw.received.matchAll(/^data: (\d+) x+\n\n/gm);
      return [...blocks].map(([, number]) => Number(number));
    },
    resume(options, { epoch, offset }) {
      const client = new ResumingStream(options);
      client.lastEventId = `a=${epoch}:${offset}`;
      return client;
    },
  },
};

describe("D4: 100,000 publications, 10 stalled and 100 healthy clients: nobody loses what history still holds", () => {
  const PUBLICATIONS = 100_000;
  const BATCH = 500;
  const PADDING = "x".repeat(200);

  test.each(Object.entries(TRANSPORTS))(
    "%s",
    async (_, transport) => {
      await using relay = await RelayProcess.start({
        BATON_HISTORY_SIZE: "200000",
        BATON_REGISTRATION_TTL_MS: "600000",
      });
      const counters = Array.from({ length: 100 }, () => new Counter());
      const healthy = await Promise.all(counters.map(({ take }) => transport.healthy(relay, take)));
      const urls = await Promise.all(Array.from({ length: 10 }, () => relay.register("stalled")));
      const stalled = await Promise.all(urls.map((url) => transport.raw(url)));
      for (const raw of stalled) raw.pause();
      using memory = new Memory(relay);

      let published = 0;
      let epoch = "";
      const publishBatch = async (): Promise<void> => {
        const body = Array.from({ length: BATCH }, (_, i) => ({
          topic: "a",
          message: `${published + i} ${PADDING}`,
        }));
        const answer = await relay.post("/publish", body);
        const [oldest] = (await answer.json()) as { epoch: string; offset: number }[];
        expect(oldest?.offset).toBe(published + 1);
        epoch = oldest?.epoch ?? "";
        published += BATCH;
        // This process reads for a hundred clients, so the publisher waits for it: they must be healthy.
        const near = () => counters.every(({ next }) => next >= published - BATCH);
        await until("the healthy ones", near, 20_000);
      };
      while (published < PUBLICATIONS) await publishBatch();
      expect(relay.output).toContain("slow consumer closed");
      // What waited for each of the stalled ones would be 23 MB.
      expect(memory.growth).toBeLessThan(150_000);

      const [first, ...others] = stalled as [RawSocket, ...RawSocket[]];
      for (const raw of others) raw.drop();
      first.resume();
      const numbers = await transport.numbers(first);
      expect(numbers).toEqual(Array.from(numbers.keys()));
      expect(numbers.length).toBeLessThan(PUBLICATIONS / 2);
      if (transport.resume !== undefined) {
        await using network = await TcpProxy.start(relay.url);
        // So slow that what it missed cannot be sent in one go.
        network.bytesPerSecond = 8_000_000;
        const counter = new Counter();
        counter.next = numbers.length;
        const register = () => Promise.resolve(urls[0] as string);
        const resumed = transport.resume(
          { topics: ["a"], register, onPublication: counter.take, through: network.through },
          { offset: numbers.length, epoch },
        );
        while (counter.next < published && counter.fault === undefined) {
          if (published < PUBLICATIONS + 10 * BATCH) await publishBatch();
          else await Bun.sleep(10);
        }
        await until("the resumed one to have all", () => counter.next === published);
        expect([counter.fault, resumed.lost, resumed.faults]).toEqual([undefined, [], []]);
        expect(resumed.connectionsLost).toBe(0);
        await resumed.stop();
      }
      const whole = () => counters.every(({ next }) => next === published);
      await until("the healthy ones to have all", whole);
      expect(counters.map(({ fault }) => fault).filter((fault) => fault !== undefined)).toEqual([]);
      expect(memory.growth).toBeLessThan(250_000);
      expectNoErrors(relay);
      for (const client of healthy) client.stop();
    },
    120_000,
  );
});

/** A publish with this key, over a connection of its own. */
const publishOnce = (url: string, key: string, body: object): Promise<Response> =>
  fetch(`${url}/publish`, {
    method: "POST",
    keepalive: false,
    body: JSON.stringify(body),
    headers: { "content-type": "application/json", "idempotency-key": key },
  });

interface History {
  readonly offset: number;
  readonly publications: { readonly offset: number; readonly data: string }[];
}

const historyOf = async (relay: RelayProcess, topic: string): Promise<History> =>
  (await (await fetch(`${relay.url}/topics/${topic}/history?limit=1000`)).json()) as History;

describe("an idempotency key", () => {
  test("50 times at once publishes once, with one answer; another body is refused", async () => {
    await using relay = await RelayProcess.start();
    const client = new ResumingSocket({ topics: ["a"], register: () => relay.register("u") });
    await until("it to be in", () => client.ready);
    for (let round = 1; round <= 20; round++) {
      const body = { topic: "a", message: `m${round}` };
      const other = { topic: "a", message: "other" };
      const posts = Array.from({ length: 55 }, (_, i) =>
        publishOnce(relay.url, `key ${round}`.replace(" ", "-"), i < 50 ? body : other),
      );
      const answers = await Promise.all(posts);
      const texts = await Promise.all(answers.map((answer) => answer.text()));
      const accepted = texts.filter((_, i) => answers[i]?.status === 200);
      const refused = texts.filter((_, i) => answers[i]?.status === 409);
      expect(new Set(accepted).size).toBe(1);
      expect(JSON.parse(accepted[0] ?? "")).toMatchObject({ delivered: 1, offset: round });
      // Whichever came first was taken, and only that one.
      expect([accepted.length, refused.length].toSorted()).toEqual([5, 50]);
      expect(refused[0]).toContain("idempotency_conflict");
    }
    expect((await historyOf(relay, "a")).publications).toHaveLength(20);
    await until("it to have all", () => client.count === 20);
    await client.stop();
  }, 30_000);

  test("makes a retry safe when connections are cut at random and answers are lost", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "1000" });
    await using network = await TcpProxy.start(relay.url);
    network.cutEach(0, 20);
    network.lossRate = 0.3;
    const url = network.through(relay.url);
    let attempts = 0;
    for (let i = 0; i < 300; i++) {
      for (;;) {
        attempts++;
        const body = { topic: "a", message: `m${i}` };
        const answer = await publishOnce(url, `key-${i}`, body).catch(() => undefined);
        const text = await answer?.text().catch(() => undefined);
        if (text === undefined) continue;
        expect([answer?.status, JSON.parse(text).offset]).toEqual([200, i + 1]);
        break;
      }
    }
    const { publications } = await historyOf(relay, "a");
    const expected = Array.from({ length: 300 }, (_, i) => `m${i}`);
    expect(publications.map(({ data }) => data)).toEqual(expected);
    expect(attempts, `seed ${network.seed}`).toBeGreaterThan(350);
  }, 60_000);

  test("gives the first answer to a retry after the reply was lost", async () => {
    await using relay = await RelayProcess.start();
    const text = '{"topic":"lost","message":"m"}';
    const raw = await RawSocket.open(Number(new URL(relay.url).port));
    raw.pause();
    raw.write(
      `POST /publish HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Type: application/json\r\n` +
        `Idempotency-Key: once\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
    );
    await until("it to be taken", async () => (await historyOf(relay, "lost")).offset === 1);
    raw.drop(true);
    const retry = await publishOnce(relay.url, "once", JSON.parse(text));
    expect(await retry.json()).toMatchObject({ delivered: 0, offset: 1 });
    const other = await publishOnce(relay.url, "once", { topic: "lost", message: "n" });
    expect(other.status).toBe(409);
    expect((await historyOf(relay, "lost")).offset).toBe(1);
  });
});

describe("E5: 300,000 topics with history in 32 MiB", () => {
  const BYTES = 32 * 1_048_576;

  test("cost no more memory than they may, and a bystander gets every message", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_BYTES: String(BYTES) });
    const bystander = new ResumingSocket({ topics: ["a"], register: () => relay.register("u") });
    await until("it to be in", () => bystander.ready);
    using memory = new Memory(relay);
    for (let i = 0; i < 300; i++) {
      const flood = Array.from({ length: 1_000 }, (_, k) => ({
        topic: `flood ${i} ${k} ${Math.random()}`,
        message: `message ${i} ${k}`,
      }));
      await (await relay.post("/publish", flood)).arrayBuffer();
      await (await relay.post("/publish", { topic: "a", message: `m${i}` })).arrayBuffer();
    }
    // Most of it is garbage, at 150,000 topics a second.
    expect(memory.growth).toBeLessThan(500_000);
    const small = () => memoryKb(relay.pid) - memory.before < (3 * BYTES) / 1_024;
    await until("the garbage to be gone", small, 40_000);
    await until("the bystander to have all", () => bystander.count === 300);
    expect(bystander.received.get("a")).toEqual(Array.from({ length: 300 }, (_, i) => `m${i}`));
    expect((await historyOf(relay, "a")).publications).toHaveLength(100);
    await bystander.stop();
    expectNoErrors(relay);
  }, 100_000);

  test("that are only asked for evict nobody's history", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_BYTES: "1000000" });
    const kept = Array.from({ length: 50 }, (_, i) => ({ topic: "kept", message: `m${i}` }));
    const [first] = (await (await relay.post("/publish", kept)).json()) as { epoch: string }[];
    const position = { offset: 0, epoch: first?.epoch ?? "" };
    using memory = new Memory(relay);
    const askers = await Promise.all([
      upgrade(await relay.register("asker")),
      upgrade(`${await relay.register("asker")}?format=json`),
    ]);
    const lost = JSON.stringify(position);
    for (let round = 0; round < 1_200; round++) {
      const names = Array.from({ length: 128 }, () => `asked ${Math.random()}`);
      const topics = JSON.stringify(names);
      const since = names.map((name) => `"${name}":${lost}`).join();
      askers[0]?.frame(1, `{"topics":${topics}}`);
      askers[1]?.frame(1, `{"topics":${topics},"since":{${since}}}`);
      for (const asker of askers) asker.frame(9, "");
      for (const asker of askers) while ((await asker.nextFrame()).opcode !== 10);
    }
    const { publications } = await historyOf(relay, "kept");
    expect(publications.map(({ data }) => data)).toEqual(kept.map(({ message }) => message));
    const client = new ResumingSocket({ topics: ["kept"], register: () => relay.register("u") });
    client.positions.kept = position;
    await until("it to have all", () => client.count === 50);
    expect(client.lost).toEqual([]);
    expect(memory.growth).toBeLessThan(100_000);
    for (const asker of askers) asker.drop();
    await client.stop();
    expectNoErrors(relay);
  }, 60_000);
});
