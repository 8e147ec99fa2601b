// Two nodes over Redis that share a source: one reads it, and when that is killed, the other goes on where it was.
import { expect, test } from "bun:test";
import { RedisServer } from "../../support/engines/redis-server";
import { RelayProcess } from "../../support/relay/relay-process";
import { Outbox } from "../../support/sources/outbox";
import { sourcesFile } from "../../support/sources/sources-file";
import { until } from "../../support/wait";

const RECORDS = 20_000;

test("a record is published once and in order, though the node that reads is killed in the middle", async () => {
  await using engine = await RedisServer.start();
  await using outbox = await Outbox.start();
  const env = {
    BATON_ENGINE: engine.url,
    BATON_HISTORY_SIZE: "1000000",
    BATON_SOURCES_FILE: sourcesFile({ orders: outbox.declaration }),
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
  await outbox.add(messages.map((message) => ({ topic: "t", message })));
  await until("a part of them", async () => (await published()) > RECORDS / 10);
  expect(await other.isReading()).toBe(false);
  one.relay.signal("SIGKILL");
  await one.relay.exited;
  expect(await published()).toBeLessThan(RECORDS);

  await until("all of them", async () => (await published()) >= RECORDS);
  await until("the outbox to be empty", async () => (await outbox.waiting()) === 0);
  const { publications } = await other.relay.wholeHistory("t");
  expect(publications.map(({ data }) => data)).toEqual(messages);
  expect(await other.isReading()).toBe(true);
});
