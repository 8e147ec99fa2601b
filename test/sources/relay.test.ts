// A relay with a source, as its users see it: what clients get, what /health and /metrics say. test/slow/sources/ has every kind, and what dies.
import { expect, test } from "bun:test";
import { readSettings } from "../../src/settings/read";
import { RedisServer } from "../support/engines/redis-server";
import { Scrape } from "../support/metrics/scrape";
import { startRelay, type TestRelay } from "../support/relay/test-relay";
import { sourcesFile } from "../support/sources/sources-file";
import { until } from "../support/wait";

const stateOf = async (relay: TestRelay) => {
  const { status, json } = await relay.request("GET", "/health/sources");
  return [status, json.sources[0]?.state];
};

test("records reach clients, and what cannot be published is counted and buried", async () => {
  const { url, command } = await redis();
  const stream = crypto.randomUUID();
  await using relay = await startRelay({
    BATON_SOURCES_FILE: sourcesFile({ orders: { kind: "redis", url, stream } }),
  });
  const client = await relay.connect(7, ["t"]);
  const other = await relay.connect(8, ["t"]);
  await command("XADD", stream, "*", "topic", "t", "data", '{"a": 1.0}', "user_id", "7");
  await command("XADD", stream, "*", "topic", "t", "data", '1,"user_id":8');
  await command("XADD", stream, "*", "method", "publish", "payload", '{"channel":"t","data":2}');
  expect(await client.next()).toBe('{"a": 1.0}');
  expect(await client.next()).toBe("2");
  expect(await other.next()).toBe("2");
  const counted = async (name: string) => (await Scrape.of(`${relay.url}/metrics`)).value(name);
  await until("the lag", async () => {
    return (await counted('baton_source_records_total{source="orders",outcome="read"}')) === 3;
  });
  expect(await counted('baton_source_records_total{source="orders",outcome="dead"}')).toBe(1);
  expect(
    await counted('baton_source_publications_total{source="orders",outcome="published"}'),
  ).toBe(2);
  expect(await counted('baton_source_reading{source="orders"}')).toBe(1);
  expect(await command("XLEN", `${stream}:dead`)).toBe(1);
  expect(await stateOf(relay)).toEqual([200, "reading"]);
});

test("a source whose server is away does not make the relay unready, GET /health/sources says so, and a new file mends it", async () => {
  const url = "redis://127.0.0.1:1";
  await using relay = await startRelay({
    BATON_SOURCES_FILE: sourcesFile({ orders: { kind: "redis", url, stream: "s" } }),
  });
  await until("the failure", async () => (await stateOf(relay))[1] === "down");
  expect(await stateOf(relay)).toEqual([503, "down"]);
  expect((await relay.request("GET", "/health")).text).toBe("ok");
  expect(relay.log.join("")).toContain("the source orders cannot be read, trying again");
  // What SIGHUP does when the file has another address.
  const { url: mended } = await RedisServer.shared();
  const next = sourcesFile({ orders: { kind: "redis", url: mended, stream: crypto.randomUUID() } });
  await relay.running.reloads.take(readSettings({ BATON_SOURCES_FILE: next }));
  await until("the source", async () => (await stateOf(relay))[1] === "reading");
});

test("entries that are trimmed before they are read are counted as lost, once", async () => {
  const { url, command } = await redis();
  const stream = crypto.randomUUID();
  const add = () => command("XADD", stream, "*", "topic", "t", "data", "1");
  await add();
  await command("XGROUP", "CREATE", stream, "baton", "0");
  await command("XREADGROUP", "GROUP", "baton", "before", "NOACK", "STREAMS", stream, ">");
  for (let i = 0; i < 3; i++) await add();
  await command("XTRIM", stream, "MAXLEN", "1");
  const settings = {
    BATON_SOURCES_FILE: sourcesFile({ orders: { kind: "redis", url, stream } }),
  };
  const lost = async (relay: TestRelay) => {
    await until("the source", async () => (await stateOf(relay))[1] === "reading");
    const { json } = await relay.request("GET", "/health/sources");
    return json.sources[0]?.lost;
  };
  {
    await using relay = await startRelay(settings);
    expect(await lost(relay)).toBe(2);
    expect(relay.log.join("")).toContain(`2 entries of the stream ${stream} were removed`);
  }
  await using next = await startRelay(settings);
  expect(await lost(next)).toBe(0);
});

test("text that is not UTF-8 is refused, where Bun's client would change it in silence", async () => {
  const { url, command } = await redis();
  const stream = crypto.randomUUID();
  await using relay = await startRelay({
    BATON_SOURCES_FILE: sourcesFile({ orders: { kind: "redis", url, stream } }),
  });
  const client = await relay.connect(1, ["t"]);
  const add = (value: string) =>
    command(
      "EVAL",
      `redis.call('XADD', KEYS[1], '*', 'topic', 't', 'message', ${value})`,
      "1",
      stream,
    );
  await add("string.char(0xf0, 0x90, 0x80)");
  await add("'\ufffd is a character too'");
  expect(await client.next()).toBe("\ufffd is a character too");
  const [[, fields]] = (await command("XRANGE", `${stream}:dead`, "-", "+")) as [
    [string, string[]],
  ];
  expect(fields).toContain("malformed_json");
});

async function redis() {
  const server = await RedisServer.shared();
  return { url: server.url, command: server.command.bind(server) };
}
