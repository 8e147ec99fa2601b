// A worker's end of the engine that all workers share: how calls are answered, counted and abandoned.
import { beforeEach, expect, test } from "bun:test";
import { EngineUnavailable } from "../../src/relay/contracts/engine";
import { Refusal } from "../../src/relay/contracts/errors";
import { EngineClient } from "../../src/workers/engine-client";
import { SILENCE_MS, type ToEngine } from "../../src/workers/messages";
import { NOBODY } from "../support/relay/simulation";
import { until } from "../support/wait";

let now = 0;
let isFull = false;
let sent: ToEngine[] = [];
let revoked: [id: string, term: number | undefined][] = [];
let client: EngineClient;

beforeEach(() => {
  now = 0;
  isFull = false;
  sent = [];
  revoked = [];
  client = new EngineClient({
    send: (message) => void sent.push(message),
    isFull: () => isFull,
    now: () => now,
  });
  client.start({
    ...NOBODY,
    deliver: ({ data }) => data.length,
    registrationRevoked: (...one) => revoked.push(one),
  });
});

/** The number of the call that was sent last. */
const lastNumber = (): number => (sent.at(-1) as { number: number }).number;

const failureOf = (call: unknown): Promise<Error> =>
  Promise.resolve(call).then(
    () => new Error("it did not fail"),
    (error: Error) => error,
  );

test("a start ends when the engine's state is known, or when the client is closed", async () => {
  for (const end of ["state", "close"]) {
    const other = new EngineClient({ send: () => {}, isFull: () => false, now: () => now });
    const started = Promise.resolve(other.start(NOBODY));
    expect(Bun.peek.status(started)).toBe("pending");
    if (end === "close") other.close();
    else other.receive({ state: { healthy: true, waiting: 0 } });
    await started;
    expect(other.healthy()).toBe(end === "state");
  }
});

test("calls are answered by their numbers, in any order", async () => {
  const pages = ["a", "b"].map((topic) => client.history(topic, { limit: 1, size: 1 }));
  expect(sent).toEqual([
    { call: { do: "history", topic: "a", range: { limit: 1, size: 1 } }, number: 1 },
    { call: { do: "history", topic: "b", range: { limit: 1, size: 1 } }, number: 2 },
  ]);
  client.receive({ number: 2, answer: "page of b" });
  client.receive({ number: 1, answer: "page of a" });
  expect(await Promise.all<unknown>(pages)).toEqual(["page of a", "page of b"]);
});

test("a supervisor of an older version is asked for no store, and whoever asks is told to restart the relay", async () => {
  client.receive({ state: { healthy: true, waiting: 0 } });
  const calls = [
    client.publishRecords("s/0", [{ publication: { topic: "a", data: "m" } }]),
    client.positionOf("s/0"),
    client.records.put("set", "name", "value", { ttlMs: 1, max: 1 }),
    client.queues.append("q", ["e"], 1),
  ];
  for (const call of calls) {
    const error = await failureOf(call);
    expect(error).toBeInstanceOf(EngineUnavailable);
    expect(error.message).toContain("restart the relay");
  }
  expect(sent).toEqual([]);
});

test("records of a source that are too much for one call go in several, each after the one before has succeeded", async () => {
  const records = Array.from({ length: 5 }, (_, i) => ({
    publication: { topic: "a", data: "x".repeat(500_000) },
    position: String(i),
  }));
  const positions = () =>
    sent.map((message) => {
      const { call } = message as unknown as { call: { records: typeof records } };
      return call.records.map(({ position }) => position);
    });
  client.receive({ state: { healthy: true, waiting: 0, hasStore: true } });
  const published = client.publishRecords("s/0", records);
  expect(positions()).toEqual([["0", "1"]]);
  client.receive({ number: 1, answer: { published: 1, repeated: 1 } });
  await until("the second call", () => sent.length === 2);
  client.receive({ number: 2, unavailable: "the disk is full" });
  expect(await failureOf(published)).toBeInstanceOf(EngineUnavailable);
  expect(positions()).toEqual([
    ["0", "1"],
    ["2", "3"],
  ]);
});

test("a refusal resolves, an engine that is unavailable and a fault reject", async () => {
  const refused = client.publish({ topic: "a", data: "m" });
  client.receive({
    number: lastNumber(),
    refused: { code: "idempotency_conflict", message: "again" },
  });
  expect(await refused).toEqual(new Refusal("idempotency_conflict", "again"));
  const unavailable = client.publish({ topic: "a", data: "m" });
  client.receive({ number: lastNumber(), unavailable: "the disk is full" });
  expect(await failureOf(unavailable)).toEqual(new EngineUnavailable("the disk is full"));
  const fault = client.publish({ topic: "a", data: "m" });
  client.receive({ number: lastNumber(), fault: "a bug" });
  const error = await failureOf(fault);
  expect(error).not.toBeInstanceOf(EngineUnavailable);
  expect(error.message).toBe("a bug");
});

test("a publish answers to how many connections of this worker its own publication was delivered", async () => {
  const publishes = ["a", "bb"].map((data) => client.publish({ topic: "t", data }));
  client.receive({ deliver: { topic: "t", data: "a", offset: 1, epoch: "e" } });
  client.receive({ deliver: { topic: "t", data: "another's", offset: 2, epoch: "e" } });
  client.receive({ deliver: { topic: "t", data: "bb", offset: 3, epoch: "e" } });
  client.receive({ number: 1, answer: { delivered: 0, offset: 1, epoch: "e" } });
  client.receive({ number: 2, answer: { delivered: 0, offset: 3, epoch: "e" } });
  expect(await Promise.all(publishes)).toEqual([
    { delivered: 1, offset: 1, epoch: "e", scope: "node" },
    { delivered: 2, offset: 3, epoch: "e", scope: "node" },
  ]);
});

test("a call that is not answered in time fails, and its late answer is ignored", async () => {
  const early = client.history("a", { limit: 1, size: 1 });
  now = 1;
  const late = client.history("b", { limit: 1, size: 1 });
  now = 5_000;
  client.sweep();
  expect(await failureOf(early)).toBeInstanceOf(EngineUnavailable);
  client.receive({ number: 1, answer: "too late" });
  client.receive({ number: 2, answer: "in time" });
  expect((await late) as unknown).toBe("in time");
});

test("a claim that succeeds too late is released, and so is the connection that it was to replace", async () => {
  const claims = ["a", "b", "c"].map((id) => client.registrations.claim(id, "127.0.0.1"));
  now = 5_000;
  client.sweep();
  for (const claim of claims) expect(await failureOf(claim)).toBeInstanceOf(EngineUnavailable);
  sent = [];
  client.receive({ number: 1, answer: { id: "a", user: "u", term: 7, wasRemote: false } });
  client.receive({ number: 2, refused: { code: "unknown_connection", message: "" } });
  client.receive({ number: 3, unavailable: "the disk is full" });
  client.receive({ number: 1, answer: { id: "a", user: "u", term: 7, wasRemote: false } });
  expect(sent).toEqual([{ release: ["a", 7, "wait"] }]);
  expect(revoked).toEqual([["a", 7]]);
});

test("a session that is owned too late is released, unless it has asked again", async () => {
  const first = ["a", "b"].map((id) => client.registrations.own(id, "u"));
  now = 5_000;
  client.sweep();
  for (const own of first) expect(await failureOf(own)).toBeInstanceOf(EngineUnavailable);
  const again = client.registrations.own("b", "u");
  sent = [];
  // JSON has no undefined, which is what the supervisor answers.
  for (const number of [1, 2, 3]) client.receive({ number, answer: undefined });
  expect(await again).toBeUndefined();
  expect(sent).toEqual([{ release: ["a", 0, "end"] }]);
});

test("calls fail before the start, after the close, and while the supervisor does not keep up", async () => {
  isFull = true;
  expect(await failureOf(client.forget("a"))).toBeInstanceOf(EngineUnavailable);
  isFull = false;
  const pending = client.forget("a");
  client.close();
  expect(await failureOf(pending)).toBeInstanceOf(EngineUnavailable);
  expect(await failureOf(client.forget("a"))).toBeInstanceOf(EngineUnavailable);
  const unstarted = new EngineClient({ send: () => {}, isFull: () => false, now: () => 0 });
  expect(await failureOf(unstarted.forget("a"))).toBeInstanceOf(EngineUnavailable);
  expect(sent).toHaveLength(1);
});

test("the engine is healthy while the supervisor says so, and has said so lately", () => {
  expect(client.healthy()).toBe(false);
  client.receive({ state: { healthy: true, waiting: 3 } });
  expect([client.healthy(), client.registrations.waiting]).toEqual([true, 3]);
  now = SILENCE_MS;
  expect(client.healthy()).toBe(true);
  now++;
  expect(client.healthy()).toBe(false);
  client.receive({ state: { healthy: false, waiting: 0 } });
  expect(client.healthy()).toBe(false);
});
