// What every kind of source must do, on its real server: each record is published once, in order, and none is lost, whatever dies.
// SOURCE_RECORDS says how many records the storms have (100000 in a full run by hand). Without it, what takes long is left out: all that
// only measures, workers of more than one kind, and the death of servers that take ten seconds to start again, but for one.
import { afterAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Folder } from "../../support/machine/folder";
import { peakMemoryKb } from "../../support/machine/processes";
import { RelayProcess } from "../../support/relay/relay-process";
import { RelayWithWorkers } from "../../support/relay/relay-with-workers";
import { SOURCE_KINDS, stopSourceServers } from "../../support/sources/kinds";
import type { SourceServer, TestRecord } from "../../support/sources/source-server";
import { until, within } from "../../support/wait";

const { SOURCE_RECORDS } = process.env;
const RECORDS = Number(SOURCE_RECORDS ?? 5_000);

/** How often a relay is killed in the middle of a storm. */
const KILLS = SOURCE_RECORDS === undefined ? 2 : 4;

/** Records that are added together. */
const CHUNK = 1_000;

const MEGABYTE = 1_048_576;

/** The messages that go through a relay whose memory is watched are so long: a gigabyte in a full run. */
const LONG = 10_000;

function records(count: number, from = 0): TestRecord[] {
  return Array.from({ length: count }, (_, i) => ({ topic: "t", message: `m${from + i}` }));
}

/** A relay with the SQLite engine that reads a source, and may be killed and started again. */
class ReadingRelay implements AsyncDisposable {
  readonly #folder = new Folder();
  readonly #server: SourceServer;
  readonly #own: Readonly<Record<string, unknown>>;
  readonly env: Record<string, string>;
  process!: RelayProcess;

  private constructor(server: SourceServer, own: Readonly<Record<string, unknown>>) {
    this.#server = server;
    this.#own = own;
    this.env = {
      BATON_ENGINE: `sqlite:${join(this.#folder.path, "baton.db")}`,
      BATON_HISTORY_SIZE: "1000000",
      BATON_HISTORY_BYTES: "1000000000",
      BATON_SOURCES_FILE: join(this.#folder.path, "sources.json"),
      BATON_SHUTDOWN_MS: "0",
    };
  }

  static async start(
    server: SourceServer,
    own: Readonly<Record<string, unknown>> = {},
  ): Promise<ReadingRelay> {
    const relay = new ReadingRelay(server, own);
    await relay.writeFile();
    await relay.run();
    return relay;
  }

  async writeFile(): Promise<void> {
    const declaration = { ...this.#server.declaration, ...this.#own };
    await Bun.write(this.env.BATON_SOURCES_FILE as string, JSON.stringify({ orders: declaration }));
  }

  async run(): Promise<void> {
    this.process = await RelayProcess.start(this.env);
  }

  async kill(): Promise<void> {
    this.process.signal("SIGKILL");
    await this.process.exited;
  }

  /** How many were published to t. */
  async published(): Promise<number> {
    return (await this.process.history("t", 999_999_999)).offset ?? 0;
  }

  async untilPublished(count: number): Promise<void> {
    await until(`${count} publications`, async () => (await this.published()) >= count);
  }

  /** Resolves with the messages in t when there are so many, and nothing waits any more. */
  async messages(count: number): Promise<string[]> {
    await this.untilPublished(count);
    await until("the source to be empty", async () => (await this.#server.waiting()) === 0);
    return (await this.process.wholeHistory("t")).publications.map(({ data }) => data);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}

/** Adds records in chunks until all are there. */
async function addAll(server: SourceServer, all: readonly TestRecord[]): Promise<void> {
  for (let i = 0; i < all.length; i += CHUNK) {
    await within("the server to have the records", server.add(all.slice(i, i + CHUNK)));
  }
}

afterAll(stopSourceServers);

describe.each(SOURCE_KINDS)("a source of the kind %s", (kind, start) => {
  const startsSlowly = kind === "kafka" || kind.startsWith("rabbitmq");
  const testInFull = test.skipIf(SOURCE_RECORDS === undefined);
  // A quorum queue of RabbitMQ 3.10.8 may have no leader after the kill, for good, which is no fault of Baton's.
  const testKilledServer =
    !startsSlowly || kind === "rabbitmq with a classic queue" ? test : testInFull;
  const testKilledWorker = kind === "redis" ? test : testInFull;

  testInFull("publishes all that has waited for the relay, in order", async () => {
    await using server = await start();
    const all = records(RECORDS);
    await addAll(server, all);
    await using relay = await ReadingRelay.start(server);
    await relay.untilPublished(1);
    const from = await relay.published();
    const begun = performance.now();
    await relay.untilPublished(RECORDS);
    const seconds = (performance.now() - begun) / 1_000;
    const peak = Math.round(peakMemoryKb(relay.process.pid) / 1_024);
    // For docs/sources.md, and for whoever compares.
    const rate = Math.round((RECORDS - from) / seconds);
    console.log(`${kind}: ${rate} records a second of ${RECORDS}, ${peak} MB of memory at most`);
    expect(await relay.messages(RECORDS)).toEqual(all.map(({ message }) => message));
  });

  test("publishes each record once and in order, though the relay is killed again and again in the middle", async () => {
    await using server = await start();
    await using relay = await ReadingRelay.start(server);
    const all = records(RECORDS);
    const added = addAll(server, all);
    for (let kill = 1; kill <= KILLS; kill++) {
      await relay.untilPublished((RECORDS * kill) / (KILLS + 2));
      await relay.kill();
      await relay.run();
    }
    await added;
    expect(await relay.messages(RECORDS)).toEqual(all.map(({ message }) => message));
    expect(await server.deadLetters()).toEqual([]);
  });

  testKilledServer(
    "publishes each record once and in order, though its server is killed in the middle and comes back",
    async () => {
      await using server = await start();
      await using relay = await ReadingRelay.start(server);
      const all = records(RECORDS);
      await relay.kill();
      await addAll(server, all);
      await relay.run();
      await relay.untilPublished(1);
      await server.kill();
      await until("the relay to notice", () => relay.process.output.includes("cannot be read"));
      await server.run();
      expect(await relay.messages(RECORDS)).toEqual(all.map(({ message }) => message));
    },
  );

  testKilledWorker("goes on with another worker when the one that reads is killed", async () => {
    await using server = await start();
    await using one = await ReadingRelay.start(server);
    await one.process[Symbol.asyncDispose]();
    await using workers = await RelayWithWorkers.start({ ...one.env, BATON_WORKERS: "2" });
    one.process = workers.process;
    const all = records(RECORDS);
    const added = addAll(server, all);
    await one.untilPublished(RECORDS / 4);
    // One of them reads.
    for (const pid of await workers.workers()) {
      process.kill(pid, "SIGKILL");
      await until("the worker to be replaced", async () => {
        const now = await workers.workers();
        return now.length === 2 && !now.includes(pid) && workers.listeners === 2;
      });
    }
    await added;
    expect(await one.messages(RECORDS)).toEqual(all.map(({ message }) => message));
  });

  test("buries a poisoned record, one to a topic that is not allowed and one of 10 MB, with the reason, and goes on", async () => {
    await using server = await start();
    await using relay = await ReadingRelay.start(server, { topics: ["t"] });
    await server.add(records(1));
    await server.addPoison("poison");
    await server.add([{ topic: "users", message: "secret" }]);
    await server.add([{ topic: "t", message: "x".repeat(10 * MEGABYTE) }]);
    await server.add(records(1, 1));
    expect(await relay.messages(2)).toEqual(["m0", "m1"]);
    // What is read together is published before any of it is buried, and not every server says what is still to be acknowledged.
    let dead = await server.deadLetters();
    await until("the dead letters", async () => {
      dead = await server.deadLetters();
      return dead.length >= 3;
    });
    expect(dead.map(({ code }) => code)).toEqual([
      expect.stringMatching(/^(invalid_body|invalid_topic|malformed_json)$/),
      "permission_denied",
      "message_too_large",
    ]);
    expect(dead[0]?.record).toContain("poison");
    expect(dead[1]?.record).toContain("secret");
    expect(dead[2]?.record.length).toBeGreaterThan(10 * MEGABYTE);
  });

  // The only kind whose server keeps no place, and says nothing of what waits.
  const testStream = kind === "rabbitmq with a stream" ? test : testInFull;
  testStream("buries a record once, though nothing is published behind it", async () => {
    await using server = await start();
    await using relay = await ReadingRelay.start(server);
    await server.addPoison("poison");
    const metrics = async () => (await fetch(`${relay.process.url}/metrics`)).text();
    await until("it to be buried", async () =>
      /records_total\{[^}]*"dead"[^}]*\} 1/.test(await metrics()),
    );
    await until("its lag", async () => /lag_records\{[^}]*\} 0/.test(await metrics()));
    await relay.kill();
    await relay.run();
    for (const count of [1, 2]) {
      // What is read before a record that is published is acknowledged before the next one is.
      await server.add(records(1, count));
      await relay.untilPublished(count);
    }
    expect((await server.deadLetters()).map(({ record }) => record)).toEqual([
      expect.stringContaining("poison"),
    ]);
  });

  testInFull("takes no more memory than a part of what waits", async () => {
    await using server = await start();
    await using relay = await ReadingRelay.start(server);
    const add = (count: number) =>
      addAll(
        server,
        records(count).map((record) => ({ ...record, message: record.message.padEnd(LONG) })),
      );
    await add(CHUNK);
    await relay.untilPublished(CHUNK);
    const beforeKb = peakMemoryKb(relay.process.pid);
    await relay.kill();
    await add(RECORDS);
    await relay.run();
    await relay.untilPublished(CHUNK + RECORDS);
    const more = (peakMemoryKb(relay.process.pid) - beforeKb) / 1_024;
    console.log(`${kind}: ${more} MB more`);
    expect(more).toBeLessThan((RECORDS * LONG) / 4 / MEGABYTE);
  });
});
