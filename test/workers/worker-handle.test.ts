// A worker process as its supervisor sees it: its states, and when it is killed. Rows F4 and F9 of the fault catalogue.
import { beforeEach, expect, test } from "bun:test";
import { createLog } from "../../src/log";
import { PIPE_VERSION, SILENCE_MS } from "../../src/workers/messages";
import type { WorkerEvents } from "../../src/workers/spawn";
import { WorkerHandle } from "../../src/workers/worker-handle";

let time: number;
let worker: WorkerHandle;
let events: WorkerEvents;
let killed: number;
let lines: { msg: string }[];
/** The code and the state before, for each exit. */
let exits: unknown[];

beforeEach(() => {
  time = 0;
  killed = 0;
  lines = [];
  exits = [];
  worker = new WorkerHandle({
    name: "1",
    log: createLog("info", { write: (line) => void lines.push(JSON.parse(line)) }),
    spawn: (workerEvents) => {
      events = workerEvents;
      return { send: () => {}, kill: () => killed++, time: () => time };
    },
    engineServer: undefined,
    metrics: async () => "",
    onExit: (_, code, before) => exits.push([code, before]),
  });
});

/** The worker sends this, in a batch that is not acknowledged. */
const send = (...messages: unknown[]) => events.text(`[0,0,0,0,${JSON.stringify(messages)}]`);

const listen = () => send({ listensAt: "http://127.0.0.1:1", pipeVersion: PIPE_VERSION });

/** A check of the worker at this time of its own clock. */
const checkAt = (at: number) => {
  time = at;
  worker.check();
};

test("a worker of an older version, which would misread its supervisor, is killed when it listens", () => {
  send({ listensAt: "http://127.0.0.1:1" });
  expect(worker.state).toBe("starting");
  expect(killed).toBe(1);
  expect(lines[0]?.msg).toContain("needs a restart of the relay");
});

test("a worker is starting until it listens, ready until it is ordered to end, and exited at last", async () => {
  expect(worker.state).toBe("starting");
  listen();
  expect(worker.state).toBe("ready");
  expect(await worker.listening.promise).toBe("http://127.0.0.1:1");
  const ended = worker.end("retire", 1_000);
  expect(worker.state).toBe("ending");
  events.exited(0);
  await ended;
  expect(worker.state).toBe("exited");
  expect(exits).toEqual([[0, "ending"]]);
});

test("a worker that exits before it listens has failed, with its exit code", async () => {
  events.exited(1);
  expect(await worker.listening.promise.catch(({ code }) => code)).toBe(1);
  expect(exits).toEqual([[1, "starting"]]);
});

test("F4: a worker that does not listen after 30 s is killed, once", () => {
  checkAt(30_000);
  expect(killed).toBe(0);
  checkAt(30_001);
  checkAt(31_000);
  expect(killed).toBe(1);
  expect(lines.map(({ msg }) => msg)).toEqual(["the worker does not start, so it is killed"]);
});

test("F4: a worker that listens and then is silent for longer than 5 s is killed", () => {
  listen();
  checkAt(1_000);
  checkAt(1_000 + SILENCE_MS);
  expect(killed).toBe(0);
  send();
  checkAt(2_000 + SILENCE_MS);
  checkAt(2_000 + 2 * SILENCE_MS);
  expect(killed).toBe(0);
  checkAt(2_001 + 2 * SILENCE_MS);
  expect(killed).toBe(1);
  expect(lines.map(({ msg }) => msg)).toEqual(["the worker does not answer, so it is killed"]);
});

test("F4: a worker's silence is forgiven when the supervisor itself was paused", () => {
  listen();
  checkAt(1_000);
  time = 1_001 + SILENCE_MS;
  worker.forgiveSilence();
  worker.check();
  expect(killed).toBe(0);
});

test("a worker that does not end within its time is killed", () => {
  listen();
  worker.stopListening();
  checkAt(100);
  worker.end("shutdown", 1_000);
  send();
  checkAt(1_100);
  expect(killed).toBe(0);
  checkAt(1_101);
  expect(killed).toBe(1);
  expect(lines.map(({ msg }) => msg)).toEqual(["the worker does not end, so it is killed"]);
});
