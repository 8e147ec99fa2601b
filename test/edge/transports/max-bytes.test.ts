// ?max_bytes=: a client says what its library takes, and a larger publication comes to it without its data.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { EventStream } from "../../support/clients/event-stream";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

const LARGE = "x".repeat(9_000);
/** The frame of `LARGE` in a topic with a name of one character, without its position. */
const LARGE_FRAME_BYTES = '{"topic":"a","data":"",}'.length - 1 + LARGE.length;

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({});
});
afterAll(() => relay[Symbol.asyncDispose]());

const parsed = (frames: readonly string[]) => frames.map((frame) => JSON.parse(frame));

describe("a socket with ?max_bytes=8192", () => {
  test("receives a larger publication as its envelope without data, and smaller ones whole", async () => {
    const url = await relay.register();
    const small = await relay.open(`${url}?format=json&max_bytes=8192`, ["a"]);
    const other = await relay.open(`${await relay.register(2)}?format=json`, ["a"]);
    await small.next();
    await other.next();
    for (const message of ["one", LARGE, "two"]) expect(await relay.publish("a", message)).toBe(2);
    const [one, large, two] = parsed(await small.take(3));
    expect([one.data, two.data]).toEqual(["one", "two"]);
    const { topic, data, offset, epoch, too_large } = large;
    expect([topic, data, offset, epoch]).toEqual(["a", null, one.offset + 1, one.epoch]);
    expect(too_large).toBeGreaterThan(LARGE_FRAME_BYTES);
    expect(parsed(await other.take(3)).map((frame) => [frame.data, frame.too_large])).toEqual([
      ["one", undefined],
      [LARGE, undefined],
      ["two", undefined],
    ]);
  });

  test("recovers past a larger publication, and from its position", async () => {
    const { epoch } = await relay.publishMany("recovered", 1);
    await relay.publish("recovered", LARGE);
    await relay.publish("recovered", "last");
    const open = async (offset: number) => {
      const client = await relay.open(`${await relay.register()}?format=json&max_bytes=16383`);
      client.send({ topics: ["recovered"], since: { recovered: { offset, epoch } } });
      expect(JSON.parse(await client.next()).topics.recovered.recovered).toBe(true);
      return client;
    };
    const before = parsed(await (await open(1)).take(2));
    expect(before.map(({ data, offset }) => [data, offset])).toEqual([
      [null, 2],
      ["last", 3],
    ]);
    const [after] = parsed(await (await open(before[0].offset)).take(1));
    expect([after.data, after.offset]).toEqual(["last", 3]);
  });

  test("receives a publication to its user alone, and one of a topic without history, without data too", async () => {
    const client = await relay.open(`${await relay.register("ann")}?format=json&max_bytes=8192`, [
      "mine",
    ]);
    await client.next();
    expect(await relay.publish("mine", LARGE, "ann")).toBe(1);
    expect(JSON.parse(await client.next())).toMatchObject({ data: null, offset: 1 });
  });

  test("is refused so many topics that the reply would be larger, and keeps those that it had", async () => {
    const url = `${await relay.register("many")}?format=json&max_bytes=8192`;
    const client = await relay.open(url, ["kept"]);
    await client.next();
    client.send({ topics: Array.from({ length: 100 }, (_, i) => `a topic with the number ${i}`) });
    const { error } = JSON.parse(await client.next());
    expect([error.code, error.message]).toEqual([
      "too_many_topics",
      expect.stringContaining("max_bytes"),
    ]);
    expect(await relay.publish("kept", "still here")).toBe(1);
  });

  test("is shown with its size among the connections of its user", async () => {
    await relay.open(`${await relay.register("shown")}?format=json&max_bytes=40000`);
    const { json } = await relay.request("GET", "/users/shown/connections");
    expect(json.connections[0].protocol).toBe("json-32k");
  });
});

describe("a stream with ?max_bytes=8192", () => {
  test("receives a larger publication without data, live and recovered, and resumes after it", async () => {
    const { sse } = await relay.registration("stream", ["s"]);
    const url = `${sse}?format=json&max_bytes=8192`;
    const stream = await EventStream.open(url);
    await relay.publish("s", "one");
    await relay.publish("s", LARGE);
    const events = await stream.take(2);
    expect(events.map(({ data }) => JSON.parse(data).data)).toEqual(["one", null]);
    await stream.close();
    const again = await EventStream.open(url, { lastEventId: events[0]?.id ?? "" });
    const recovered = await again.next();
    expect(recovered).toEqual(events[1] as typeof recovered);
    await again.close();
    await relay.publish("s", "two");
    const last = await EventStream.open(url, { lastEventId: recovered.id });
    expect(JSON.parse((await last.next()).data).data).toBe("two");
    await last.close();
  });

  test("has no event of more than 8192 bytes with all its lines, whatever its topics", async () => {
    const topics = Array.from({ length: 20 }, (_, i) => `topic ${i}`);
    const { sse } = await relay.registration("blocks", topics);
    const { body } = await fetch(`${sse}?format=json&max_bytes=8192`);
    const reader = (body as ReadableStream<Uint8Array>).getReader();
    let text = "";
    const blocks = () => text.split("\n\n").slice(0, -1);
    const read = async (count: number) => {
      while (blocks().length < count) text += new TextDecoder().decode((await reader.read()).value);
    };
    await read(1);
    const sizes = [6_900, 7_000, 7_200, 7_900, 8_190];
    for (const [i, size] of sizes.entries()) {
      await relay.publish(`topic ${i}`, "x".repeat(size));
      await read(i + 2);
    }
    expect(Math.max(...blocks().map((block) => block.length + 2))).toBeLessThanOrEqual(8_192);
    const isLeftOut = blocks().map((block) => block.includes("too_large"));
    expect(isLeftOut).toEqual([false, false, false, true, true, true]);
    await reader.cancel();
  });

  test("is refused topics whose positions would not leave room for events", async () => {
    const topics = Array.from({ length: 30 }, (_, i) => `a topic with the number ${i}`);
    const { sse } = await relay.registration("positions", topics);
    expect(EventStream.open(`${sse}?format=json&max_bytes=65536`)).rejects.toThrow(
      /422.*too_many_topics.*max_bytes/,
    );
    await (await EventStream.open(`${sse}?format=json`)).close();
  });
});

test("?max_bytes= is refused with 422 outside of 8192 to 1048576, and without format=json", async () => {
  const bad = ["8191", "1048577", "-1", "0", "", "x", "1e5", "9999999999999999"];
  const { url, sse } = await relay.registration(1);
  for (const address of [url.replace("ws:", "http:"), sse]) {
    for (const value of bad) {
      const path = `${new URL(address).pathname}?format=json&max_bytes=${value}`;
      const { status, json } = await relay.request("GET", path);
      expect([value, status, json.error.code]).toEqual([value, 422, "invalid_query"]);
      expect(json.error.message).toContain("from 8192 to 1048576");
    }
    const plain = await relay.request("GET", `${new URL(address).pathname}?max_bytes=8192`);
    expect([plain.status, plain.json.error.code]).toEqual([422, "invalid_query"]);
    expect(plain.json.error.message).toContain("format=json");
  }
});
