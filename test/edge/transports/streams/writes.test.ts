// All that a stream is sent in one turn of the event loop reaches it in one write, which is one chunk of its response.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Stream } from "../../../../src/edge/transports/stream";
import type { Publication } from "../../../../src/relay/contracts/publication";
import { EventParser, parseEvents } from "../../../support/clients/event-parser";
import { chunksIn, rawStream } from "../../../support/clients/event-stream";
import { RawSocket } from "../../../support/clients/raw-socket";
import { registerStream, withTopics } from "../../../support/relay/stream-calls";
import { idOf, startRelay, type TestRelay } from "../../../support/relay/test-relay";
import { until } from "../../../support/wait";

const EPOCH = "abcdefgh";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ BATON_ANONYMOUS: "1", BATON_BACKPRESSURE_BYTES: "1048576" });
});
afterAll(() => relay[Symbol.asyncDispose]());

/** Delivers publications in one synchronous step, as an engine does. */
function deliver(publications: readonly Publication[], to = relay): void {
  for (const publication of publications) to.running.relay.waves.deliver(publication);
}

/** Publications m1, m2… of a topic with history. */
const numbered = (topic: string, count: number): Publication[] =>
  Array.from({ length: count }, (_, i) => ({
    topic,
    data: `m${i + 1}`,
    offset: i + 1,
    epoch: EPOCH,
  }));

/** What a stream has received since it was opened or last read, chunk by chunk. */
class Chunks {
  readonly #raw: RawSocket;
  #read = 1;

  private constructor(raw: RawSocket) {
    this.#raw = raw;
  }

  /** Opens a stream, and requires that it begins with one chunk. */
  static async open(url: string): Promise<Chunks> {
    const raw = await rawStream(url);
    await until("the first block", () => chunksIn(raw.received).length > 0);
    return new Chunks(raw);
  }

  /** Takes the chunks up to the one that has `mark`. */
  async take(mark: string): Promise<string[]> {
    await until(mark, () => this.#new().some((chunk) => chunk.includes(mark)));
    const chunks = this.#new();
    this.#read += chunks.length;
    return chunks;
  }

  #new(): string[] {
    return chunksIn(this.#raw.received)
      .slice(this.#read)
      .map((chunk) => chunk.toString());
  }
}

const textsIn = (chunk: string) =>
  parseEvents(chunk).events.map(({ event, data }) => `${event} ${data}`);

describe("in one write a stream gets", () => {
  test("its retry time and the positions that it begins with", async () => {
    const raw = await rawStream(withTopics(await registerStream(relay), "begin 1", "begin 2"));
    await until("the positions", () => raw.received.includes("begin%202="));
    expect(chunksIn(raw.received)).toHaveLength(1);
    raw.drop();
  });

  test("what it missed", async () => {
    const { epoch } = await relay.publishMany("missed", 100);
    const url = withTopics(await registerStream(relay), "missed");
    const raw = await rawStream(url, [`Last-Event-ID: missed=${epoch}:0`]);
    await until("the last one", () => raw.received.includes("data: m100\n"));
    expect(chunksIn(raw.received)).toHaveLength(1);
    raw.drop();
  });

  test("all publications of a turn, in their order", async () => {
    const one = await Chunks.open(withTopics(await registerStream(relay), "step"));
    deliver(numbered("step", 16).slice(0, 8));
    await Promise.resolve();
    deliver(numbered("step", 16).slice(8));
    const [chunk = "", ...others] = await one.take("data: m16\n");
    expect(others).toEqual([]);
    expect(textsIn(chunk)).toEqual(numbered("step", 16).map(({ data }) => `step ${data}`));
  });

  test("those of several topics, each with the positions of all topics at that event", async () => {
    const url = withTopics(await registerStream(relay), "left", "right");
    const both = await Chunks.open(url);
    const [l1, l2] = numbered("left", 2) as [Publication, Publication];
    const [r1, r2] = numbered("right", 2) as [Publication, Publication];
    deliver([l1, r1, r2, l2]);
    const [chunk = "", ...others] = await both.take("data: m2\n");
    expect(others).toEqual([]);
    const at = (left: number, right: number) => `left=${EPOCH}:${left}&right=${EPOCH}:${right}`;
    const { events } = parseEvents(chunk);
    expect(events.map(({ id }) => id).slice(1)).toEqual([at(1, 1), at(1, 2), at(2, 2)]);
  });

  test("those for its user alone between the others, and not those that except it", async () => {
    const open = async (user: string) => {
      const url = withTopics(await registerStream(relay, user), "mixed", "other");
      return { id: idOf(new URL(url).pathname), chunks: await Chunks.open(url) };
    };
    const [alice, bob] = [await open("alice"), await open("bob")];
    const [m1, m2, m3, m4, m5] = numbered("mixed", 5) as [Publication, ...Publication[]];
    deliver([
      m1,
      { ...m2, user: "alice" } as Publication,
      { ...m3, except: bob.id } as Publication,
      { topic: "other", data: "o1", offset: 1, epoch: EPOCH },
      { ...m4, user: "bob" } as Publication,
      { ...m5 } as Publication,
    ]);
    const [toAlice = "", ...alices] = await alice.chunks.take("data: m5\n");
    const [toBob = "", ...bobs] = await bob.chunks.take("data: m5\n");
    expect([alices, bobs]).toEqual([[], []]);
    expect(textsIn(toAlice)).toEqual(["mixed m1", "mixed m2", "mixed m3", "other o1", "mixed m5"]);
    expect(textsIn(toBob)).toEqual(["mixed m1", "other o1", "mixed m4", "mixed m5"]);
    const idAt = (chunk: string, data: string) =>
      parseEvents(chunk).events.find((event) => event.data === data)?.id;
    // Nothing up to m3 is still to come to either.
    expect(idAt(toAlice, "o1")).toBe(`mixed=${EPOCH}:3&other=${EPOCH}:1`);
    expect(idAt(toBob, "m4")).toBe(`mixed=${EPOCH}:4&other=${EPOCH}:1`);
  });

  test("pushes of all channels of a session, in their order", async () => {
    const raw = await RawSocket.open(relay.port);
    const body = [
      '{"id":1,"connect":{}}',
      '{"id":2,"subscribe":{"channel":"c1"}}',
      '{"id":3,"subscribe":{"channel":"c2"}}',
    ].join("\n");
    raw.write(
      `POST /connection/http_stream HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await until("the replies", () => raw.received.includes('"id":3'));
    const begun = chunksIn(raw.received).length;
    const [a1, a2] = numbered("c1", 2) as [Publication, Publication];
    const [b1, b2] = numbered("c2", 2) as [Publication, Publication];
    deliver([a1, b1, b2, a2]);
    await until("the last push", () => /"c1"[^\n]*"m2"/.test(raw.received));
    const [chunk, ...others] = chunksIn(raw.received).slice(begun);
    expect(others).toEqual([]);
    const pushes = [...`${chunk}`.matchAll(/"channel":"(\w+)".*?"data":"(\w+)"/g)];
    expect(pushes.map(([, channel, data]) => `${channel} ${data}`)).toEqual([
      "c1 m1",
      "c2 m1",
      "c2 m2",
      "c1 m2",
    ]);
    raw.drop();
  });
});

test("what is sent before a stream ends arrives before its end", async () => {
  const url = withTopics(await registerStream(relay), "ends");
  const raw = await rawStream(url);
  await until("the positions", () => raw.received.includes("ends="));
  const connection = relay.running.relay.connections.byId(idOf(new URL(url).pathname));
  if (connection === undefined) throw new Error("the stream is not connected");
  deliver(numbered("ends", 3));
  relay.running.relay.connections.end(connection, "replaced");
  await until("the end", () => raw.received.endsWith("0\r\n\r\n"));
  const body = Buffer.concat(chunksIn(raw.received)).toString();
  expect(textsIn(body)).toEqual(["ends m1", "ends m2", "ends m3"]);
  expect(body).toEndWith("retry: 2147483647\n\n");
  raw.drop();
});

test("a step with very much to send is written in parts, and a client that reads gets everything", async () => {
  const chunks = await Chunks.open(withTopics(await registerStream(relay), "large"));
  const text = "é".repeat(8_000);
  deliver(numbered("large", 60).map((one) => ({ ...one, data: `${one.data} ${text}` })));
  const parts = await chunks.take("data: m60 ");
  const parser = new EventParser();
  for (const part of parts) parser.push(part);
  expect(parser.events.map(({ data }) => data)).toEqual(
    Array.from({ length: 60 }, (_, i) => `m${i + 1} ${text}`),
  );
  expect(parts.length).toBeLessThan(20);
  expect(Math.max(...parts.map(({ length }) => length))).toBeLessThan(65_536 + 2 * text.length);
});

test("a stream whose client does not read is ended by the step that is too much for it, and no other", async () => {
  const limit = 262_144;
  await using own = await startRelay({ BATON_BACKPRESSURE_BYTES: String(limit) });
  const [slow, other] = await Promise.all(
    ["slow", "other"].map(async (user) =>
      rawStream(withTopics(await registerStream(own, user), "t")),
    ),
  );
  slow?.pause();
  const publications = numbered("t", 16).map((one) => ({ ...one, data: "x".repeat(4_096) }));
  const waiting = () =>
    [...own.running.relay.connections.all()].map(({ socket }) => socket?.getBufferedAmount() ?? 0);
  let steps = 0;
  let most = 0;
  while (own.counts.connections > 1) {
    if (steps++ > 2_000) throw new Error("the stalled stream was never ended");
    deliver(publications, own);
    await until("the other to read", () => waiting().some((bytes) => bytes === 0));
    most = Math.max(most, ...waiting());
  }
  expect(own.slowConsumerLines).toHaveLength(1);
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThanOrEqual(limit);
  const received = () => other?.received.match(/data: x/g)?.length;
  await until("all publications at the other", () => received() === 16 * steps);
  slow?.drop();
  other?.drop();
});

test("a fault while streams are written to ends those alone, and others get what was sent with it", async () => {
  await Chunks.open(withTopics(await registerStream(relay), "faulty"));
  const other = await Chunks.open(withTopics(await registerStream(relay), "sound"));
  const { connections } = relay.running.relay;
  const stream = [...connections.all()].find(({ topics }) => topics[0]?.name === "faulty")?.socket;
  if (!(stream instanceof Stream)) throw new Error("the stream is not connected");
  stream.deliver = () => {
    throw new TypeError("a fault");
  };
  deliver([...numbered("faulty", 1), ...numbered("sound", 2)]);
  expect((await other.take("m2")).join("")).toContain("m1");
  await until("the faulty stream to be ended", () => stream.connection.socket === undefined);
  expect(relay.log.join("")).toContain("streams could not be written to");
});
