// How a client with positions comes back: the JSON socket clause by clause, and what is peculiar to streams.
// Rows C5, C6, C7, C8 and C15 of the fault catalogue.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Client } from "../../support/clients/client";
import { handshake, RawSocket } from "../../support/clients/raw-socket";
import { idOf, startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

/** Publications that a topic keeps here. */
const SIZE = 10;

let relay: TestRelay;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "baton-"));
  const rules = join(folder, "topics.json");
  writeFileSync(
    rules,
    '{"typing:": {"history_size": 0}, "deep:": {"history_size": 5000}, "brief:": {"history_ttl_ms": 20}}',
  );
  relay = await startRelay({ BATON_HISTORY_SIZE: String(SIZE), BATON_TOPICS_FILE: rules });
});
afterAll(async () => {
  await relay[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

interface Position {
  readonly offset: number;
  readonly epoch: string;
}

const urls = new Map<Client, string>();

/** A JSON socket to this address. */
async function come(url: string): Promise<Client> {
  const client = await relay.open(`${url}?format=json`);
  urls.set(client, url);
  return client;
}

/** A JSON socket of a new registration of this user. */
const connect = async (user: number | string = 1): Promise<Client> =>
  come(await relay.register(user));

// biome-ignore lint/suspicious/noExplicitAny: frames of any shape
const nextOf = async (client: Client): Promise<any> => JSON.parse(await client.next());

/** Sends a command and answers what the reply says of each topic. */
async function choose(
  client: Client,
  topics: readonly string[],
  since?: Record<string, unknown>,
  // biome-ignore lint/suspicious/noExplicitAny: the reply may be an error
): Promise<any> {
  client.send({ topics, since });
  return (await nextOf(client)).topics;
}

/** Publishes m1, m2… (or from another number on) and answers with the position of the last. */
async function fill(topic: string, count: number, from = 1): Promise<Position> {
  const batch = Array.from({ length: count }, (_, i) => ({ topic, message: `m${from + i}` }));
  const { json } = await relay.post("/publish", batch);
  return { offset: json.at(-1).offset, epoch: json.at(-1).epoch };
}

/** The data and offset of the next publications. */
async function take(client: Client, count: number): Promise<string[]> {
  const frames = (await client.take(count)).map((frame) => JSON.parse(frame));
  return frames.map(({ data, offset }) => `${data} at ${offset}`);
}

const nothingMore = async (client: Client): Promise<void> =>
  expect(await client.rest()).toEqual([]);

const remove = (url: string) => relay.request("DELETE", `/register/${idOf(url)}`);

const statusOf = async (url: string): Promise<number> =>
  (await relay.request("GET", `/ws/${idOf(url)}?format=json`)).status;

const isConnected = (url: string): boolean =>
  [...relay.running.relay.connections.all()].some(({ id }) => id === idOf(url));

/** Whether its socket is gone and the registration is there. */
const isWaiting = async (url: string): Promise<boolean> =>
  !isConnected(url) && (await statusOf(url)) === 426;

/** Drops a JSON socket and waits until the relay has noticed. */
async function drop(client: Client): Promise<void> {
  client.drop();
  const url = urls.get(client) ?? "";
  await until("the relay to notice", () => !isConnected(url));
}

describe("a publication", () => {
  test("stands in an envelope with its topic and position, text as a JSON string", async () => {
    const client = await connect();
    await choose(client, ["text"]);
    const messages = ["hi", "", 'a "quote"\\\n\u0000', "é😀\u2028", '{"x":1}'];
    for (const message of messages) await relay.publish("text", message);
    const { epoch } = await relay
      .post("/publish", { topic: "text", message: "" })
      .then((a) => a.json);
    for (const [i, message] of messages.entries()) {
      const frame = await client.next();
      const position = `"offset":${i + 1},"epoch":"${epoch}"`;
      expect(frame).toBe(`{"topic":"text","data":${JSON.stringify(message)},${position}}`);
    }
  });

  test("of JSON has the bytes that came in, live and recovered", async () => {
    const data = '{"x": 1.0, "big":12345678901234567890, "\\u0041":"\\u00e9"}';
    const url = await relay.register();
    const client = await come(url);
    const { exact: before } = await choose(client, ["exact"]);
    const body = `{"topic":"exact","data":${data}}`;
    const headers = { "content-type": "application/json" };
    const { json: at } = await relay.request("POST", "/publish", { body, headers });
    const frame = `{"topic":"exact","data":${data},"offset":1,"epoch":"${at.epoch}"}`;
    expect(await client.next()).toBe(frame);
    await drop(client);
    const back = await come(url);
    expect((await choose(back, ["exact"], { exact: before })).exact.recovered).toBe(true);
    expect(await back.next()).toBe(frame);
  });

  test("has no position where the topic keeps no history, by a rule or at all", async () => {
    const client = await connect();
    expect(await choose(client, ["typing:a"])).toEqual({ "typing:a": {} });
    await relay.publish("typing:a", "m");
    expect(await client.next()).toBe('{"topic":"typing:a","data":"m"}');
    await using none = await startRelay({ BATON_HISTORY_SIZE: "0" });
    const other = await none.open(`${await none.register()}?format=json`);
    other.send({ topics: ["a"], since: { a: { offset: 0, epoch: "abcdefgh" } } });
    expect(await nextOf(other)).toEqual({ topics: { a: { recovered: false } } });
    await none.publish("a", "m");
    expect(await other.next()).toBe('{"topic":"a","data":"m"}');
  });

  test("is bare on a plain socket, which knows no positions", async () => {
    const plain = await relay.connect(1, ["bare"]);
    await relay.publish("bare", "m");
    expect(await plain.next()).toBe("m");
    plain.send({ topics: ["bare"], since: {} });
    expect((await nextOf(plain)).error.code).toBe("invalid_frame");
    plain.send({ topics: ["bare", "more"] });
    await nothingMore(plain);
  });
});

describe("the reply", () => {
  test("says the position of each topic, and whether it is recovered where one was given", async () => {
    const three = await fill("three", 3);
    const client = await connect();
    const reply = await choose(client, ["three", "new", "typing:b", "three"], { three });
    expect(reply).toEqual({
      three: { ...three, recovered: true },
      new: { offset: 0, epoch: expect.any(String) },
      "typing:b": {},
    });
    expect(await choose(client, [])).toEqual({});
  });

  test("is followed by what was missed, then live, each once and in order", async () => {
    const top = await fill("order", 8);
    const client = await connect();
    client.send({ topics: ["order"], since: { order: { ...top, offset: 5 } } });
    await fill("order", 2, 9);
    expect((await nextOf(client)).topics.order.recovered).toBe(true);
    const expected = [6, 7, 8, 9, 10].map((offset) => `m${offset} at ${offset}`);
    expect(await take(client, 5)).toEqual(expected);
    await fill("order", 1, 11);
    expect(await take(client, 1)).toEqual(["m11 at 11"]);
    await nothingMore(client);
  });

  test("is recovered when nothing was missed, also before the first publication", async () => {
    const client = await connect();
    const { still } = await choose(client, ["still"]);
    const again = await connect();
    const reply = await choose(again, ["still"], { still });
    expect(reply.still).toEqual({ ...still, recovered: true });
    const top = await fill("still", 2);
    const third = await connect();
    expect((await choose(third, ["still"], { still: top })).still.recovered).toBe(true);
    await nothingMore(third);
    const fourth = await connect();
    expect((await choose(fourth, ["still"], { still })).still.recovered).toBe(true);
    expect(await take(fourth, 2)).toEqual(["m1 at 1", "m2 at 2"]);
  });

  test("gives a publication to one user back to that user alone; for others its offset is skipped", async () => {
    const start = await fill("private", 1);
    await relay.publish("private", "for 7", 7);
    await relay.publish("private", "for all");
    await relay.publish("private", "for seven", "7");
    await relay.publish("private", "for 8", 8);
    const seven = await connect("7");
    const eight = await connect(8);
    const nobody = await connect("nobody");
    for (const client of [seven, eight, nobody]) {
      const { private: entered } = await choose(client, ["private"], { private: start });
      expect(entered).toEqual({ ...start, offset: 5, recovered: true });
    }
    expect(await take(seven, 3)).toEqual(["for 7 at 2", "for all at 3", "for seven at 4"]);
    expect(await take(eight, 2)).toEqual(["for all at 3", "for 8 at 5"]);
    expect(await take(nobody, 1)).toEqual(["for all at 3"]);
    for (const client of [seven, eight, nobody]) await nothingMore(client);
  });

  test.each([
    ["beyond the newest", (top: Position) => ({ ...top, offset: top.offset + 1 })],
    ["far beyond", (top: Position) => ({ ...top, offset: Number.MAX_SAFE_INTEGER })],
    ["of another epoch", (top: Position) => ({ ...top, epoch: "abcdefgh" })],
    ["of another epoch, at the newest", (top: Position) => ({ offset: top.offset, epoch: "x" })],
    ["of an empty epoch", (top: Position) => ({ ...top, epoch: "" })],
    ["just below what is kept", (top: Position) => ({ ...top, offset: top.offset - SIZE - 1 })],
    ["the beginning, which is not kept", (top: Position) => ({ ...top, offset: 0 })],
  ])(
    "to a position %s is recovered: false, and nothing of the missed follows",
    async (name, wrong) => {
      const topic = `lost ${name}`;
      const top = await fill(topic, 2 * SIZE);
      const client = await connect();
      const reply = await choose(client, [topic], { [topic]: wrong(top) });
      expect(reply[topic]).toEqual({ ...top, recovered: false });
      await fill(topic, 1, 2 * SIZE + 1);
      expect(await take(client, 1)).toEqual([`m${2 * SIZE + 1} at ${2 * SIZE + 1}`]);
      await nothingMore(client);
    },
  );

  test("to the oldest position that can be whole is recovered", async () => {
    const top = await fill("edge", 2 * SIZE);
    const client = await connect();
    const oldest = { ...top, offset: top.offset - SIZE };
    expect((await choose(client, ["edge"], { edge: oldest })).edge.recovered).toBe(true);
    expect(await take(client, SIZE)).toHaveLength(SIZE);
  });

  test("is recovered: false when what was missed has become too old", async () => {
    const top = await fill("brief:a", 2);
    const kept = async () =>
      (await relay.request("GET", "/topics/brief:a/history")).json.publications.length;
    await until("it to be too old", async () => (await kept()) === 0);
    const client = await connect();
    const missed = await choose(client, ["brief:a"], { "brief:a": { ...top, offset: 1 } });
    expect(missed["brief:a"]).toEqual({ ...top, recovered: false });
    const other = await connect();
    const none = await choose(other, ["brief:a"], { "brief:a": top });
    expect(none["brief:a"]).toEqual({ ...top, recovered: true });
    await nothingMore(client);
  });

  test("comes for some topics recovered and for others not: each by itself", async () => {
    const [lost, whole] = [await fill("lost", 3), await fill("whole", 3)];
    const client = await connect();
    const since = { lost: { ...lost, epoch: "other" }, whole: { ...whole, offset: 1 } };
    const reply = await choose(client, ["lost", "whole"], since);
    expect(reply).toEqual({
      lost: { ...lost, recovered: false },
      whole: { ...whole, recovered: true },
    });
    expect(await take(client, 2)).toEqual(["m2 at 2", "m3 at 3"]);
    await nothingMore(client);
  });

  test("to names that are those of Object is like that to all others", async () => {
    for (const topic of ["__proto__", "constructor", "toString"]) {
      const top = await fill(topic, 2);
      const client = await connect();
      const since = `{"${topic}":{"offset":1,"epoch":"${top.epoch}"}}`;
      client.send(`{"topics":["${topic}"],"since":${since}}`);
      const position = `"offset":2,"epoch":"${top.epoch}"`;
      expect(await client.next()).toBe(`{"topics":{"${topic}":{${position},"recovered":true}}}`);
      expect(await client.next()).toBe(`{"topic":"${topic}","data":"m2",${position}}`);
      await relay.publish(topic, "live");
      expect((await nextOf(client)).data).toBe("live");
    }
    expect(({} as { offset?: number }).offset).toBeUndefined();
    const client = await connect();
    const since = '{"__proto__":{"offset":1,"epoch":"abcdefgh"}}';
    client.send(`{"topics":["own"],"since":${since}}`);
    expect((await nextOf(client)).topics.own.recovered).toBeUndefined();
  });
});

describe("a bad position is answered by invalid_frame, and the connection keeps its topics", () => {
  test.each([
    '{"offset":-1,"epoch":"e"}',
    '{"offset":1.5,"epoch":"e"}',
    '{"offset":"1","epoch":"e"}',
    '{"offset":9007199254740993,"epoch":"e"}',
    '{"offset":1e400,"epoch":"e"}',
    '{"offset":null,"epoch":"e"}',
    '{"offset":true,"epoch":"e"}',
    '{"offset":1}',
    '{"epoch":"e"}',
    '{"offset":1,"epoch":1}',
    '{"offset":1,"epoch":null}',
    '{"offset":1,"epoch":"e","more":1}',
    "null",
    "5",
    "[]",
    "{}",
  ])("%s", async (position) => {
    const client = await connect();
    const topics = ["mine", "line\u2028separator"];
    await choose(client, topics);
    for (const topic of [...topics, "__proto__"]) {
      client.send(`{"topics":["other"],"since":{${JSON.stringify(topic)}:${position}}}`);
      expect((await nextOf(client)).error.code).toBe("invalid_frame");
    }
    expect(await relay.publish("other", "m")).toBe(0);
    for (const topic of topics) {
      expect(await relay.publish(topic, "m")).toBe(1);
      expect((await nextOf(client)).topic).toBe(topic);
    }
    await drop(client);
  });

  test.each(["null", "[]", '"since"', "5"])("also where since itself is %s", async (since) => {
    const client = await connect();
    client.send(`{"topics":["other"],"since":${since}}`);
    expect((await nextOf(client)).error.code).toBe("invalid_frame");
    await drop(client);
  });

  test("also as the first frame: the first topics are still let in", async () => {
    const client = await connect();
    client.send('{"topics":["other"],"since":{"other":{"offset":-1,"epoch":"e"}}}');
    expect((await nextOf(client)).error.code).toBe("invalid_frame");
    await relay.publish("tech", "m");
    expect(await nextOf(client)).toMatchObject({ topic: "tech", data: "m" });
    await drop(client);
  });
});

describe("a topic that the connection has already", () => {
  test("is given nothing twice, whatever position comes with it", async () => {
    const start = await fill("have", 3);
    const client = await connect();
    await choose(client, ["have"], { have: { ...start, offset: 1 } });
    expect(await take(client, 2)).toEqual(["m2 at 2", "m3 at 3"]);
    const top = await fill("have", 2, 4);
    expect(await take(client, 2)).toEqual(["m4 at 4", "m5 at 5"]);
    const recovered = async (offset: number, epoch = top.epoch) =>
      (await choose(client, ["have", "more"], { have: { offset, epoch } })).have;
    for (const offset of [1, 3, 5]) {
      expect(await recovered(offset)).toEqual({ ...top, recovered: true });
    }
    // Before 1 it was not subscribed, and it cannot be given now what must come first.
    for (const lost of [await recovered(0), await recovered(6), await recovered(3, "other")]) {
      expect(lost).toEqual({ ...top, recovered: false });
    }
    expect((await choose(client, ["have"])).have).toEqual(top);
    await fill("have", 1, 6);
    expect(await take(client, 1)).toEqual(["m6 at 6"]);
    await nothingMore(client);
  });

  test("can be left, and taken again from where it was left", async () => {
    const client = await connect();
    await choose(client, ["leave"]);
    const left = await fill("leave", 1);
    expect(await take(client, 1)).toEqual(["m1 at 1"]);
    await choose(client, ["elsewhere"]);
    await fill("leave", 2, 2);
    await nothingMore(client);
    const reply = await choose(client, ["leave"], { leave: left });
    expect(reply.leave.recovered).toBe(true);
    expect(await take(client, 2)).toEqual(["m2 at 2", "m3 at 3"]);
    await nothingMore(client);
  });
});

describe("the first topics", () => {
  test("are let in within a second for a client that keeps silent, and none is lost before", async () => {
    const client = await connect();
    const begun = performance.now();
    await relay.publish("tech", "at once");
    expect((await nextOf(client)).data).toBe("at once");
    expect(performance.now() - begun).toBeLessThan(1_000);
    await relay.publish("tech", "live");
    expect((await nextOf(client)).data).toBe("live");
    await nothingMore(client);
    await drop(client);
  });

  test("are those of the registration, where it names some", async () => {
    const { url } = (await relay.post("/register", { user_id: 1, topics: ["first"] })).json;
    const client = await come(url);
    await fill("first", 1);
    expect(await take(client, 1)).toEqual(["m1 at 1"]);
    await drop(client);
    const back = await come(url);
    await fill("first", 1, 2);
    expect(await take(back, 1)).toEqual(["m2 at 2"]);
  });

  test("are not sent before the first command says from where on, and then once", async () => {
    for (const since of [true, false]) {
      const top = await fill("tech", 3);
      const client = await connect();
      await fill("tech", 3, 4);
      const given = { tech: { ...top, offset: top.offset - 1 } };
      const { tech } = await choose(client, ["tech"], since ? given : undefined);
      expect(tech.recovered).toBe(since ? true : undefined);
      const data = since ? ["m3", "m4", "m5", "m6"] : ["m4", "m5", "m6"];
      const offset = top.offset + 4 - data.length;
      expect(await take(client, data.length)).toEqual(data.map((m, i) => `${m} at ${offset + i}`));
      await fill("tech", 1, 7);
      expect(await take(client, 1)).toEqual([`m7 at ${top.offset + 4}`]);
      await nothingMore(client);
      await drop(client);
    }
  });

  test("are left behind by a first command without them", async () => {
    const client = await connect();
    await relay.publish("tech", "not wanted");
    await choose(client, ["wanted"]);
    await relay.publish("tech", "not wanted either");
    await nothingMore(client);
  });

  test("come once also when the first command comes after they were let in", async () => {
    const client = await connect();
    const { epoch, offset } = await fill("tech", 1);
    expect(await take(client, 1)).toEqual([`m1 at ${offset}`]);
    await fill("tech", 1, 2);
    const since = { tech: { epoch, offset } };
    client.send({ topics: ["tech"], since });
    expect(await take(client, 1)).toEqual([`m2 at ${offset + 1}`]);
    expect((await nextOf(client)).topics.tech.recovered).toBe(true);
    await nothingMore(client);
    await drop(client);
  });
});

describe("a registration", () => {
  test("waits for a client that lost its connection, which goes on from where it was", async () => {
    const url = await relay.register(5);
    let client = await come(url);
    let { wait: position } = await choose(client, ["wait"]);
    for (let round = 1; round <= 3; round++) {
      await drop(client);
      expect(await isWaiting(url)).toBe(true);
      await fill("wait", 2);
      await relay.publish("wait", "for 5", 5);
      client = await come(url);
      const { wait } = await choose(client, ["wait"], { wait: position });
      expect(wait.recovered).toBe(true);
      const data = (await take(client, 3)).map((frame) => frame.split(" at ")[0]);
      expect(data).toEqual(["m1", "m2", "for 5"]);
      position = { epoch: wait.epoch, offset: wait.offset };
    }
    await nothingMore(client);
  });

  test("H2: waits after a TCP reset in the middle of a frame too", async () => {
    const url = await relay.register();
    const raw = await RawSocket.open(relay.port);
    raw.write(handshake(`/ws/${idOf(url)}?format=json`));
    await raw.until("\r\n\r\n");
    raw.write(new Uint8Array([0x81, 0xfe, 0x10]));
    raw.reset();
    await until("it to wait", () => isWaiting(url));
    await come(url);
  });

  test("waits BATON_REGISTRATION_TTL_MS and not longer", async () => {
    await using short = await startRelay({ BATON_REGISTRATION_TTL_MS: "50" });
    const url = await short.register();
    (await short.open(`${url}?format=json`)).drop();
    await until("it to be over", () => short.counts.connections + short.counts.registrations === 0);
    expect((await short.request("GET", `/ws/${idOf(url)}`)).status).toBe(404);
  });

  test.each(["slow_consumer", "position_lost", "no_pong", "too_many_frames"] as const)(
    "waits after the relay has ended its connection as %s",
    async (why) => {
      const url = await relay.register();
      const client = await come(url);
      for (const connection of [...relay.running.relay.connections.all()]) {
        if (connection.id === idOf(url)) relay.running.relay.connections.end(connection, why);
      }
      await client.closed;
      await (await come(url)).close();
    },
  );

  test("is gone after a proper close", async () => {
    const url = await relay.register();
    const client = await come(url);
    await client.close();
    expect(await statusOf(url)).toBe(404);
    expect(come(url)).rejects.toThrow();
  });

  test("of a plain socket is gone however it closed", async () => {
    const url = await relay.register();
    (await relay.open(url)).drop();
    await until("the relay to notice", () => !isConnected(url));
    expect(await statusOf(url)).toBe(404);
  });

  test("is taken over by a new socket from one that is thought open, closed with 4001", async () => {
    const url = await relay.register();
    const older = await come(url);
    const { over } = await choose(older, ["over"]);
    await fill("over", 1);
    expect(await take(older, 1)).toEqual(["m1 at 1"]);
    const newer = await come(url);
    expect((await older.closed).code).toBe(4001);
    await fill("over", 1, 2);
    expect((await choose(newer, ["over"], { over })).over.recovered).toBe(true);
    expect(await take(newer, 2)).toEqual(["m1 at 1", "m2 at 2"]);
    expect(await relay.publish("over", "m3")).toBe(1);
    expect(await take(newer, 1)).toEqual(["m3 at 3"]);
    await newer.close();
    expect(await statusOf(url)).toBe(404);
  });

  test("that is deleted closes its socket with 4503 and is gone", async () => {
    const url = await relay.register();
    const client = await come(url);
    expect((await remove(url)).status).toBe(200);
    expect((await client.closed).code).toBe(4503);
    expect(await statusOf(url)).toBe(404);
    expect((await remove(url)).status).toBe(404);
  });

  test("that is deleted while it waits is gone", async () => {
    const url = await relay.register();
    await drop(await come(url));
    expect((await remove(url)).status).toBe(200);
    expect(await statusOf(url)).toBe(404);
  });

  test("that is deleted while its socket is given what it missed leaves nothing behind", async () => {
    const top = await fill("deep:gone", 1_000);
    const url = await relay.register();
    const client = await come(url);
    client.send({ topics: ["deep:gone"], since: { "deep:gone": { ...top, offset: 0 } } });
    await client.next();
    expect((await remove(url)).status).toBe(200);
    expect((await client.closed).code).toBe(4503);
    expect(isConnected(url)).toBe(false);
    expect(await relay.publish("deep:gone", "m")).toBe(0);
  });
});

test("except holds back the live publication, not the recovered one", async () => {
  const url = await relay.register();
  const client = await come(url);
  const { except: start } = await choose(client, ["except"]);
  const other = await connect();
  await choose(other, ["except"]);
  const answer = await relay.post("/publish", {
    topic: "except",
    message: "m1",
    except: idOf(url),
  });
  expect(answer.json).toMatchObject({ delivered: 1, offset: 1 });
  expect(await take(other, 1)).toEqual(["m1 at 1"]);
  await nothingMore(client);
  await drop(client);
  const back = await come(url);
  expect((await choose(back, ["except"], { except: start })).except.recovered).toBe(true);
  expect(await take(back, 1)).toEqual(["m1 at 1"]);
});

test("a thousand publications while a client comes back are each there once and in order", async () => {
  const start = await fill("deep:c8", 1_000);
  const url = await relay.register();
  let offset = 0;
  for (let round = 0; round < 5; round++) {
    const client = await come(url);
    const publishing = Array.from({ length: 200 }, (_, i) =>
      relay.publish("deep:c8", `m${start.offset + 200 * round + i + 1}`),
    );
    client.send({ topics: ["deep:c8"], since: { "deep:c8": { ...start, offset } } });
    expect((await nextOf(client)).topics["deep:c8"].recovered).toBe(true);
    await Promise.all(publishing);
    const missed = 1_000 + 200 * (round + 1) - offset;
    const frames = await take(client, missed);
    const expected = Array.from({ length: missed }, (_, i) => offset + i + 1);
    expect(frames.map((frame) => Number(frame.split(" at ")[1]))).toEqual(expected);
    await nothingMore(client);
    offset += missed - 50; // as if the last 50 had been lost on the way
    await drop(client);
  }
});

test("a message larger than BATON_BACKPRESSURE_BYTES comes too, to who has read all before it", async () => {
  await using tight = await startRelay({ BATON_BACKPRESSURE_BYTES: "20000" });
  const large = "x".repeat(60_000);
  const { json } = await tight.post("/publish", { topic: "large", message: large });
  const since = { large: { offset: 0, epoch: json.epoch } };
  const client = await tight.open(`${await tight.register(1)}?format=json`);
  client.send({ topics: ["large"], since });
  expect((await nextOf(client)).topics.large.recovered).toBe(true);
  expect((await nextOf(client)).data).toBe(large);
  const path = `/sse/${idOf(await tight.register(1))}?topics=large`;
  const stream = await RawSocket.open(tight.port);
  stream.write(
    `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nLast-Event-ID: large=${json.epoch}:0\r\n\r\n`,
  );
  expect(await stream.until("x\n\n")).toContain(large);
  for (const user of [undefined, 1]) {
    expect(await tight.publish("large", `${large}y`, user)).toBe(2);
    expect((await nextOf(client)).data).toBe(`${large}y`);
    expect(await stream.until("y\n\n")).toContain(large);
  }
  stream.drop();
});

describe("a format", () => {
  test.each([
    "",
    "=",
    "=json&format=json",
    "=JSON",
    "=xml",
    "=__proto__",
    "=json&Format=json",
    "=sse",
  ])("?format%s is taken as it stands or refused with 422", async (text) => {
    const url = await relay.register();
    const upgraded = await RawSocket.open(relay.port);
    upgraded.write(handshake(`/ws/${idOf(url)}?format${text}`));
    const head = await upgraded.until("\r\n\r\n");
    upgraded.drop();
    const answer = await relay.request("GET", `/ws/${idOf(url)}?format${text}`);
    if (text === "" || text === "=") {
      expect(head).toStartWith("HTTP/1.1 101 ");
    } else {
      expect(head).toStartWith("HTTP/1.1 422 ");
      expect([answer.status, answer.json.error.code]).toEqual([422, "invalid_query"]);
    }
  });
});

describe("a stream", () => {
  const get = async (path: string, lines = ""): Promise<RawSocket> => {
    const raw = await RawSocket.open(relay.port);
    raw.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n${lines}\r\n`);
    return raw;
  };

  test("is given more pages than one of what it missed once, and in order", async () => {
    const { epoch } = await fill("deep:sse", 1_000);
    await fill("deep:sse", 1_000, 1_001);
    const path = `/sse/${idOf(await relay.register())}?topics=deep:sse`;
    const raw = await get(path, `Last-Event-ID: deep%3Asse=${epoch}:0\r\n`);
    await raw.until("data: m1\n");
    const text = `data: m1\n${await raw.until("data: m2000\n")}`;
    const data = [...text.matchAll(/^data: m(\d+)$/gm)].map(([, number]) => Number(number));
    expect(data).toEqual(Array.from({ length: 2_000 }, (_, i) => i + 1));
    await relay.publish("deep:sse", "live");
    expect(await raw.until("data: live\n")).not.toContain("data: m");
    raw.drop();
  });

  test("is not opened by HEAD", async () => {
    const url = await relay.register();
    const { status, headers, text } = await relay.request("HEAD", `/sse/${idOf(url)}`);
    expect([status, text]).toEqual([200, ""]);
    expect(headers.get("content-type")).toStartWith("text/event-stream");
    expect([isConnected(url), await statusOf(url)]).toEqual([false, 426]);
  });

  test("that is asked for and left at once leaves nothing but its registration", async () => {
    const all = await Promise.all(Array.from({ length: 50 }, () => relay.register()));
    for (const [i, url] of all.entries()) {
      const raw = await get(`/sse/${idOf(url)}?topics=left`);
      if (i % 2 === 0) raw.reset();
      else raw.drop();
    }
    await until("them to be gone", () => !all.some(isConnected));
    expect(await relay.publish("left", "m")).toBe(0);
  });

  test("that takes nothing of what waits for it is ended like a mute socket", async () => {
    await using brisk = await startRelay({
      BATON_PING_MS: "60",
      BATON_PONG_MS: "60",
      BATON_BACKPRESSURE_BYTES: "100000000",
    });
    const raw = await RawSocket.open(brisk.port);
    const path = `/sse/${idOf(await brisk.register())}`;
    raw.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n`);
    await raw.until("retry");
    raw.pause();
    const [connection] = brisk.running.relay.connections.all();
    const waits = () => connection?.socket?.getBufferedAmount() ?? 1;
    while (waits() === 0) await brisk.publish("tech", "x".repeat(60_000));
    await until("it to be ended", () => brisk.counts.connections === 0);
    expect(brisk.counts.registrations).toBe(1);
    raw.drop();
  });
});
