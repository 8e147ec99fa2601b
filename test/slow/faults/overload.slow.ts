// More connections and publications than the relay can take. Rows E1 and E4 of the fault catalogue.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Client } from "../../support/clients/client";
import { RawSocket } from "../../support/clients/raw-socket";
import { ResumingSocket } from "../../support/clients/resuming-socket";
import { inFull } from "../../support/in-full";
import { Folder } from "../../support/machine/folder";
import { cpuMs, memoryKb, openFiles } from "../../support/machine/processes";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

describe("E1: a relay that may open 200 files", () => {
  const FILES = 200;
  const start = () => RelayProcess.start({}, { files: FILES });

  test("refuses connections beyond what these allow, serves those that it has, and stays idle", async () => {
    await using relay = await start();
    const urls: string[] = [];
    for (let i = 0; i < 130; i++) urls.push(await relay.register(i));
    const opened = await Promise.all(urls.map((url) => Client.open(url).catch(() => undefined)));
    const clients = opened.filter((client) => client !== undefined);
    expect(clients).toHaveLength(100);
    const refused = urls.find((_, i) => opened[i] === undefined) ?? "";
    const answer = await fetch(refused.replace("ws:", "http:"));
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "5"]);
    const before = cpuMs(relay.pid);
    await Bun.sleep(2_000);
    // A loop over what it cannot accept would take all of a core.
    expect(cpuMs(relay.pid) - before).toBeLessThan(1_000);
    expect((await fetch(`${relay.url}/health`)).status).toBe(200);
    await relay.post("/publish", { topic: "tech", message: "m" });
    for (const client of clients) expect(await client.next()).toBe("m");
    for (const client of clients) client.drop();
    await until("room again", async () => {
      const client = await Client.open(refused).catch(() => undefined);
      client?.drop();
      return client !== undefined;
    });
  });

  test("serves the connections that it has while idle ones occupy its last file, and everybody when they close", async () => {
    await using relay = await start();
    const client = await Client.open(await relay.register());
    const raws: RawSocket[] = [];
    for (let i = 0; i < FILES + 50; i++) {
      const raw = await RawSocket.open(relay.port);
      raw.write("GET /health HTTP/1.1\r\n");
      raws.push(raw);
    }
    await until("the last file to be occupied", () => openFiles(relay.pid) === FILES);
    // Over a connection that this process has kept alive.
    for (let i = 0; i < 20; i++) {
      const answer = await relay.post("/publish", { topic: "tech", message: `m${i}` });
      expect(answer.status).toBe(200);
      await answer.arrayBuffer();
      expect(await client.next()).toBe(`m${i}`);
    }
    const says = ({ msg }: { msg: string }) =>
      msg.includes("200 are allowed), so new connections wait");
    await until("the log to say so", () => relay.lines.some(says));
    for (const raw of raws) raw.drop();
    await until("room again", async () => {
      const other = await Client.open(await relay.register()).catch(() => undefined);
      return other !== undefined;
    });
    expect(relay.loggedErrors).toEqual([]);
  });

  test("lets a client in within 20 s while quiet connections that have had an answer occupy all files", async () => {
    await using relay = await start();
    const url = await relay.register();
    const raws: RawSocket[] = [];
    for (let i = 0; i < FILES + 50; i++) {
      const raw = await RawSocket.open(relay.port);
      raw.write("GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
      raws.push(raw);
    }
    await until("the last file to be occupied", () => openFiles(relay.pid) === FILES);
    const connects = async () => {
      const client = await Client.open(url).catch(() => undefined);
      client?.drop();
      return client !== undefined;
    };
    await until("a client to connect", connects, 40_000);
    for (const raw of raws) raw.drop();
  });
});

/** Of each of 32 publishers: 100 publications of 2 KB, and one more. */
const ROUNDS = inFull(25, 12);

test.each([
  ["one process", { BATON_WORKERS: "1" }],
  ["two workers", { BATON_WORKERS: "2" }],
])(
  "E4: a storm of publications on %s: each is refused with 429 or arrives once and in order, and memory stays bounded",
  async (_, workers) => {
    using folder = new Folder();
    await using relay = await RelayProcess.start({
      ...workers,
      BATON_ENGINE: `sqlite:${join(folder.path, "baton.db")}`,
      BATON_PENDING_BYTES: "2000000",
      BATON_HISTORY_SIZE: "100000",
    });
    const client = new ResumingSocket({ topics: ["t"], register: () => relay.register("u") });
    await until("the client to be subscribed", () => client.ready);
    const before = memoryKb(relay.pid);
    const acknowledged: { offset: number; message: string }[] = [];
    const statuses = new Map<number, number>();
    let growthKb = 0;
    const publisher = async (number: number): Promise<void> => {
      for (let round = 0; round < ROUNDS; round++) {
        const batch = Array.from({ length: 100 }, (_, i) => ({
          topic: "t",
          message: `${number}-${round}-${i} ${"x".repeat(2_000)}`,
        }));
        const response = await relay.post("/publish", batch);
        const answers = (await response.json()) as { offset?: number; error?: { code: string } }[];
        for (const [i, { offset, error }] of answers.entries()) {
          if (offset !== undefined) {
            acknowledged.push({ offset, message: batch[i]?.message as string });
          } else expect(error?.code).toBe("too_many_publications");
        }
        const single = await relay.post("/publish", { topic: "other", message: "x".repeat(2_000) });
        statuses.set(single.status, (statuses.get(single.status) ?? 0) + 1);
        if (single.status === 429) expect(single.headers.get("retry-after")).toBe("5");
        growthKb = Math.max(growthKb, memoryKb(relay.pid) - before);
      }
    };
    await Promise.all(Array.from({ length: 32 }, (_, i) => publisher(i)));
    expect(statuses.get(429)).toBeGreaterThan(0);
    expect([...statuses.keys()].every((status) => status === 200 || status === 429)).toBe(true);
    acknowledged.sort((a, b) => a.offset - b.offset);
    expect(acknowledged.map(({ offset }) => offset)).toEqual(acknowledged.map((_, i) => i + 1));
    await until("all publications to arrive", () => client.count >= acknowledged.length);
    expect(client.received.get("t")?.join()).toBe(
      acknowledged.map(({ message }) => message).join(),
    );
    expect(client.faults).toEqual([]);
    expect(growthKb).toBeLessThan(250_000);
    await client.stop();
    console.log(
      `${acknowledged.length} acknowledged, ${statuses.get(429)} of ${32 * ROUNDS} refused, ${growthKb} KB`,
    );
  },
);
