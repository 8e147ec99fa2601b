// The pipe between a supervisor and a worker: what leaves when, what is counted, and what a fault costs. Rows F7 and F9 of the
// fault catalogue.
import { expect, test } from "bun:test";
import { Pipe, type PipeOptions, UNACKNOWLEDGED_MAX } from "../../src/workers/pipe";
import { until } from "../support/wait";

/** Resolves in the turn of the loop after the next one. */
const twoTurns = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

interface End {
  readonly pipe: Pipe;
  /** The texts that it has sent. */
  readonly sent: string[];
}

/** An end whose texts go nowhere. */
function looseEnd(options: Partial<PipeOptions> = {}): End {
  const sent: string[] = [];
  const pipe = new Pipe({
    send: (text) => void sent.push(text),
    onMessage: () => {},
    onFault: (error) => {
      throw error;
    },
    ...options,
  });
  return { pipe, sent };
}

/** Two ends that receive each other's texts at once. */
function connectedEnds(farOptions: Partial<PipeOptions> = {}): { near: End; far: End } {
  const near: End = looseEnd({
    send: (text) => {
      near.sent.push(text);
      far.pipe.receive(text);
    },
  });
  const far: End = looseEnd({
    ...farOptions,
    send: (text) => {
      far.sent.push(text);
      near.pipe.receive(text);
    },
  });
  return { near, far };
}

test("messages of one turn of the loop leave in one text, in order", async () => {
  const received: unknown[] = [];
  const { near } = connectedEnds({ onMessage: (message) => received.push(message) });
  for (let i = 0; i < 100; i++) near.pipe.push({ i });
  expect(near.sent).toEqual([]);
  await twoTurns();
  expect(near.sent).toHaveLength(1);
  near.pipe.push({ i: 100 });
  await twoTurns();
  expect(near.sent).toHaveLength(2);
  expect(received).toEqual(Array.from({ length: 101 }, (_, i) => ({ i })));
});

test("F9: a pipe counts what is unacknowledged, and reports when that exceeds the limit", async () => {
  let reports = 0;
  const { pipe, sent } = looseEnd({ onFull: () => reports++ });
  pipe.push("x".repeat(1_000_000));
  await twoTurns();
  expect(pipe.unacknowledgedSize).toBeGreaterThan(1_000_000);
  pipe.receive("[0,1,0,0,[]]");
  expect(pipe.unacknowledgedSize).toBe(0);
  for (let i = 0; i <= UNACKNOWLEDGED_MAX / 1_000_000; i++) {
    expect([reports, pipe.isFull]).toEqual([0, false]);
    pipe.push("x".repeat(1_000_000));
    pipe.flush();
  }
  expect([reports, pipe.isFull]).toEqual([1, true]);
  pipe.receive(`[0,${sent.length},0,0,[]]`);
  expect([pipe.unacknowledgedSize, pipe.isFull]).toEqual([0, false]);
});

test("an acknowledgement leaves by itself when there is nothing else to send", async () => {
  const { near, far } = connectedEnds();
  for (let i = 0; i < 10; i++) {
    near.pipe.push({ i });
    near.pipe.flush();
  }
  expect(near.pipe.unacknowledgedSize).toBeGreaterThan(0);
  await until("the acknowledgement", () => near.pipe.unacknowledgedSize === 0);
  expect(far.sent).toHaveLength(1);
});

test("whoever waits for an acknowledgement waits for what was sent so far, and not for ever", async () => {
  const { near, far } = connectedEnds();
  near.pipe.push("first");
  near.pipe.flush();
  await near.pipe.acknowledged(60_000);
  expect([near.pipe.unacknowledgedSize, far.sent.length]).toEqual([0, 1]);
  const { pipe } = looseEnd();
  pipe.push("nobody reads this");
  pipe.flush();
  await pipe.acknowledged(1);
  expect(pipe.unacknowledgedSize).toBeGreaterThan(0);
  const waiting = pipe.acknowledged(60_000);
  pipe.close();
  await waiting;
});

test("F7: a message that cannot be obeyed is reported and does not affect the others", async () => {
  const received: unknown[] = [];
  const faults: unknown[] = [];
  const onMessage = (message: unknown) => {
    if (message === 2) throw new Error("two");
    received.push(message);
  };
  const { near } = connectedEnds({ onMessage, onFault: (error) => faults.push(error) });
  for (let i = 1; i <= 4; i++) near.pipe.push(i);
  await until("all messages to be acknowledged", () => {
    return near.pipe.unacknowledgedSize === 0 && received.length > 0;
  });
  expect(received).toEqual([1, 3, 4]);
  expect(faults).toEqual([new Error("two")]);
});

test("a pipe sends nothing more once the other side has gone", async () => {
  let attempts = 0;
  const { pipe } = looseEnd({
    send: () => {
      attempts++;
      throw new Error("EPIPE");
    },
  });
  pipe.push(1);
  await twoTurns();
  pipe.push(2);
  await twoTurns();
  expect(attempts).toBe(1);
});
