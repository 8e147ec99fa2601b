// The supervisor's end of the engine that all workers share: which worker is sent what, and when a publisher is answered.
import { beforeEach, expect, test } from "bun:test";
import { MemoryEngine } from "../../src/engines/memory/engine";
import { EngineUnavailable, type LocalEngine } from "../../src/relay/contracts/engine";
import { EngineServer, type WorkerLink } from "../../src/workers/engine-server";
import type { EngineCall } from "../../src/workers/messages";
import { Pipe } from "../../src/workers/pipe";
import { engineOptions } from "../support/relay/simulation";

/** A worker that is connected to the server, without a process. */
interface FakeWorker {
  readonly link: WorkerLink;
  /** Its messages so far, which are thereby acknowledged. */
  received(): unknown[];
  /** Calls the engine. The answer is among what it receives. */
  call(call: EngineCall): void;
}

let engine: LocalEngine;
let server: EngineServer;
let one: FakeWorker;
let two: FakeWorker;

beforeEach(() => {
  engine = new MemoryEngine(engineOptions());
  server = new EngineServer(engine);
  engine.start(server.events);
  one = connect("one");
  two = connect("two");
  for (const worker of [one, two]) worker.received();
});

function connect(name: string): FakeWorker {
  const sent: string[] = [];
  const pipe = new Pipe({
    send: (text) => void sent.push(text),
    onMessage: () => {},
    onFault: (error) => {
      throw error;
    },
    onAcknowledged: () => server.onProgress(),
  });
  const link = server.connect(name, pipe);
  let calls = 0;
  return {
    link,
    received() {
      pipe.flush();
      const batches = sent.splice(0).map((text) => JSON.parse(text));
      pipe.receive(`[0,${batches.at(-1)?.[0] ?? 0},0,0,[]]`);
      return batches.flatMap(([, , , , messages]) => messages);
    },
    call: (call) => server.receive(link, { call, number: ++calls }),
  };
}

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

const publish = (data: string): EngineCall => ({
  do: "publish",
  publication: { topic: "t", data },
});

test("a publication is sent to the workers that follow its topic, and to no other", () => {
  server.receive(two.link, { follow: "t" });
  one.call(publish("m"));
  const position = { offset: 1, epoch: "e1" };
  expect(one.received()).toEqual([{ number: 1, answer: { delivered: 0, ...position } }]);
  expect(two.received()).toEqual([{ deliver: { topic: "t", data: "m", ...position } }]);
  server.receive(two.link, { unfollow: "t" });
  one.call(publish("n"));
  expect(two.received()).toEqual([]);
});

test("a publisher is answered only when no follower of its topic lags too far behind", async () => {
  server.receive(two.link, { follow: "t" });
  two.link.pipe.push("x".repeat(5_000_000));
  two.link.pipe.flush();
  one.call(publish("m"));
  await nextTurn();
  expect(one.received()).toEqual([]);
  expect(two.received()).toContainEqual({ deliver: expect.objectContaining({ data: "m" }) });
  await nextTurn();
  expect(one.received()).toEqual([{ number: 1, answer: expect.objectContaining({ offset: 1 }) }]);
});

test("the records of a source are answered only when no follower of one of their topics lags too far behind", async () => {
  server.receive(two.link, { follow: "t" });
  two.link.pipe.push("x".repeat(5_000_000));
  two.link.pipe.flush();
  const records = ["other", "t"].map((topic, i) => ({
    publication: { topic, data: "m" },
    position: String(i),
  }));
  one.call({ do: "publishRecords", partition: "s/0", records });
  await nextTurn();
  expect(one.received()).toEqual([]);
  expect(two.received()).toContainEqual({ deliver: expect.objectContaining({ topic: "t" }) });
  await nextTurn();
  expect(one.received()).toEqual([{ number: 1, answer: { published: 2, repeated: 0 } }]);
});

test("a worker that ends no longer delays a publisher, and the registrations that it owned wait again", async () => {
  server.receive(two.link, { follow: "t" });
  two.call({ do: "add", registration: { id: "r", user: "1" } });
  two.call({ do: "claim", id: "r" });
  two.link.pipe.push("x".repeat(5_000_000));
  two.link.pipe.flush();
  one.call(publish("m"));
  expect(engine.registrations.waiting).toBe(0);
  server.disconnect(two.link);
  await nextTurn();
  expect(one.received()).toEqual([{ number: 1, answer: expect.objectContaining({ offset: 1 }) }]);
  expect(engine.registrations.waiting).toBe(1);
  server.receive(two.link, { call: { do: "remove", id: "r" }, number: 3 });
  expect(engine.registrations.waiting).toBe(1);
});

test("a refusal, an engine that is unavailable and a fault are answered each in its own way", () => {
  one.call({ do: "claim", id: "unknown" });
  engine.publish = () => {
    throw new EngineUnavailable("the disk is full");
  };
  one.call(publish("m"));
  engine.publish = () => {
    throw new Error("a bug");
  };
  expect(() => one.call(publish("m"))).toThrow("a bug");
  expect(one.received()).toEqual([
    { number: 1, refused: { code: "unknown_connection", message: expect.any(String) } },
    { number: 2, unavailable: "the disk is full" },
    { number: 3, fault: expect.stringContaining("a bug") },
  ]);
});

test("a message to all nodes reaches every other worker, and the answer says how many those are", () => {
  one.call({ do: "sendToNodes", message: "hello" });
  expect(one.received()).toEqual([{ number: 1, answer: 1 }]);
  expect(two.received()).toEqual([{ nodeMessage: "hello" }]);
});

test("the engine's state is sent to a worker when it connects, and to all with each sweep", () => {
  const state = { state: { healthy: true, waiting: 0, hasStore: true } };
  expect(connect("three").received()).toEqual([state]);
  server.sweep();
  for (const worker of [one, two]) expect(worker.received()).toEqual([state]);
});
