// Clients that stop reading under a heavy load, next to healthy ones. Row D4 of the fault catalogue.
import { describe, expect, test } from "bun:test";
import { LOAD_CLIENTS, type LoadClients } from "../../support/clients/load-clients";
import type { RawSocket } from "../../support/clients/raw-socket";
import { inFull } from "../../support/in-full";
import { MemorySampler } from "../../support/machine/processes";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

/** 20 MB, whichever it is: many small ones cost this process most, which reads them for all healthy clients. */
const PUBLICATIONS = inFull(100_000, 20_000);
const BATCH = inFull(500, 100);
const PADDING = "x".repeat(inFull(200, 1_000));
const HEALTHY = 100;
const STALLED = 10;

/** Expects publications 0, 1, 2… */
class Counter {
  next = 0;
  fault: string | undefined;

  readonly count = (_topic: string, data: string): void => {
    const number = Number.parseInt(data, 10);
    if (number !== this.next) this.fault ??= `${number} came in place of ${this.next}`;
    this.next = number + 1;
  };
}

/** The relay, healthy clients that count, and how much was published to them. */
class Load {
  readonly relay: RelayProcess;
  readonly counters = Array.from({ length: HEALTHY }, () => new Counter());
  published = 0;
  epoch = "";

  constructor(relay: RelayProcess) {
    this.relay = relay;
  }

  connectHealthy(clients: LoadClients): Promise<{ stop(): unknown }[]> {
    const register = () => this.relay.register("healthy");
    return Promise.all(this.counters.map(({ count }) => clients.healthy(register, count)));
  }

  async publishBatch(): Promise<void> {
    const batch = Array.from({ length: BATCH }, (_, i) => ({
      topic: "a",
      message: `${this.published + i} ${PADDING}`,
    }));
    const answer = await this.relay.post("/publish", batch);
    const [oldest] = (await answer.json()) as { epoch: string; offset: number }[];
    expect(oldest?.offset).toBe(this.published + 1);
    this.epoch = oldest?.epoch ?? "";
    this.published += BATCH;
    // This process reads for all healthy clients. It waits for them, or they would not be healthy.
    const areNear = () => this.counters.every(({ next }) => next >= this.published - BATCH);
    await until("the healthy clients to keep up", areNear);
  }

  async expectAllAtHealthy(): Promise<void> {
    const haveAll = () => this.counters.every(({ next }) => next === this.published);
    await until("the healthy clients to have everything", haveAll);
    expect(this.counters.map(({ fault }) => fault)).toEqual(Array(HEALTHY).fill(undefined));
  }
}

describe("D4: 20 MB of publications, 10 stalled and 100 healthy clients: nobody loses what history still holds", () => {
  test.each(Object.entries(LOAD_CLIENTS))("%s", async (_, clients) => {
    await using relay = await RelayProcess.start({
      BATON_HISTORY_SIZE: "200000",
      BATON_REGISTRATION_TTL_MS: "600000",
    });
    const load = new Load(relay);
    const healthy = await load.connectHealthy(clients);
    const urls = await Promise.all(
      Array.from({ length: STALLED }, () => relay.register("stalled")),
    );
    const stalled = await Promise.all(urls.map((url) => clients.stallable(url)));
    for (const raw of stalled) raw.pause();
    using memory = new MemorySampler(relay.pid);
    while (load.published < PUBLICATIONS) await load.publishBatch();
    await until("a slow consumer", () => relay.output.includes("slow consumer closed"));
    // Without a limit, more than 20 MB would wait for each of the stalled ones.
    expect(memory.growthKb).toBeLessThan(150_000);

    const [first, ...others] = stalled as [RawSocket, ...RawSocket[]];
    for (const raw of others) raw.drop();
    first.resume();
    const numbers = await clients.numbersReadBy(first);
    expect(numbers).toEqual(Array.from(numbers.keys()));
    expect(numbers.length).toBeLessThan(PUBLICATIONS / 2);
    await expectResume(load, clients, { url: urls[0] as string, read: numbers.length });

    await load.expectAllAtHealthy();
    expect(memory.growthKb).toBeLessThan(250_000);
    expect(relay.loggedErrors).toEqual([]);
    for (const client of healthy) client.stop();
  });
});

/** The client that stalled gets all the rest when it resumes, while publishing goes on. */
async function expectResume(
  load: Load,
  { resume }: LoadClients,
  { url, read }: { url: string; read: number },
): Promise<void> {
  if (resume === undefined) return;
  await using network = await TcpProxy.start(load.relay.url);
  // So slow that the relay cannot send everything that the client missed in one go.
  network.bytesPerSecond = 8_000_000;
  const counter = new Counter();
  counter.next = read;
  const register = () => Promise.resolve(url);
  const resumed = resume(
    { topics: ["a"], register, onPublication: counter.count, through: network.through },
    { offset: read, epoch: load.epoch },
  );
  while (counter.next < load.published && counter.fault === undefined) {
    if (load.published < PUBLICATIONS + 10 * BATCH) await load.publishBatch();
    else await Bun.sleep(10);
  }
  await until("the resumed client to have everything", () => counter.next === load.published);
  expect([counter.fault, resumed.lost, resumed.faults]).toEqual([undefined, [], []]);
  expect(resumed.connectionsLost).toBe(0);
  await resumed.stop();
}
