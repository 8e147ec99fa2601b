// Two nodes over Redis that share a source: one reads it, and when that is killed, the other goes on where it was. With SOURCE_RECORDS, a source
// of every kind, with so many records.
import { afterAll, describe, expect, test } from "bun:test";
import { RedisServer } from "../../support/engines/redis-server";
import { RelayProcess } from "../../support/relay/relay-process";
import { SOURCE_KINDS, stopSourceServers } from "../../support/sources/kinds";
import { sourcesFile } from "../../support/sources/sources-file";
import { until } from "../../support/wait";

const { SOURCE_RECORDS } = process.env;
const RECORDS = Number(SOURCE_RECORDS ?? 5_000);

/** Records that are added together. */
const CHUNK = 1_000;

const kinds = SOURCE_RECORDS === undefined ? SOURCE_KINDS.slice(0, 1) : SOURCE_KINDS;

afterAll(stopSourceServers);

describe.each(kinds)("two nodes that share a source of the kind %s", (_, make) => {
  test("publish each record once and in order, though the node that reads is killed in the middle", async () => {
    await using engine = await RedisServer.start();
    await using source = await make();
    const env = {
      BATON_ENGINE: engine.url,
      BATON_HISTORY_SIZE: "1000000",
      BATON_HISTORY_BYTES: "1000000000",
      BATON_SOURCES_FILE: sourcesFile({ orders: source.declaration }),
    };
    const start = async () => {
      const relay = await RelayProcess.start(env);
      const isReading = async () => {
        const metrics = await (await fetch(`${relay.url}/metrics`)).text();
        return metrics.includes('baton_source_reading{source="orders"} 1');
      };
      return { relay, isReading, [Symbol.asyncDispose]: () => relay[Symbol.asyncDispose]() };
    };
    await using one = await start();
    await until("a node to read", one.isReading);
    await using other = await start();
    const published = async () => (await other.relay.history("t", 999_999_999)).offset ?? 0;

    const messages = Array.from({ length: RECORDS }, (_, i) => `m${i}`);
    const add = async (from: number, to: number) => {
      for (let i = from; i < to; i += CHUNK) {
        const chunk = messages.slice(i, Math.min(i + CHUNK, to));
        await source.add(chunk.map((message) => ({ topic: "t", message })));
      }
    };
    const half = RECORDS / 2;
    const added = add(0, half);
    await until("a part of them", async () => (await published()) > RECORDS / 10);
    expect(await other.isReading()).toBe(false);
    one.relay.signal("SIGKILL");
    await one.relay.exited;
    await added;
    await add(half, RECORDS);

    await until("all of them", async () => (await published()) >= RECORDS);
    await until("the source to be empty", async () => (await source.waiting()) === 0);
    const { publications } = await other.relay.wholeHistory("t");
    expect(publications.map(({ data }) => data)).toEqual(messages);
    expect(await other.isReading()).toBe(true);
  });
});
