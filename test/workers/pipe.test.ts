// The pipe between a supervisor and a worker: what leaves when, what is counted, and what a fault costs. Rows F7 and F9 of the
// fault catalogue, and the batches that make several workers cheap.
import { describe, expect, test } from "bun:test";
import { Batcher } from "../../src/engines/batcher";
import { Pipe, type PipeOptions, UNACKNOWLEDGED_MAX } from "../../src/workers/pipe";
import { busy, until } from "../support/wait";

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
    now: () => performance.now(),
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

describe("publications to several workers", () => {
  /** Two workers' pipes with one batcher. */
  function twoPipes() {
    const batcher = new Batcher();
    const [a, b] = [looseEnd({ batcher }), looseEnd({ batcher })];
    const publish = (...names: string[]) => {
      for (const name of names) for (const { pipe } of [a, b]) pipe.pushPublication(name);
    };
    /** The worker has acknowledged all that it was sent; that took it so long. */
    const acknowledge = ({ pipe, sent }: End, ms = 5) => {
      const number = JSON.parse(sent.at(-1) ?? "[0]")[0];
      pipe.receive(`[0,${number},${ms},0,[]]`);
    };
    /** The messages of each text. */
    const batches = ({ sent }: End) => sent.map((text) => JSON.parse(text)[4]);
    return { a, b, publish, acknowledge, batches };
  }

  test("publications leave at once while no worker is busy", async () => {
    const { a, b, publish, batches } = twoPipes();
    publish("1");
    await twoTurns();
    expect([batches(a), batches(b)]).toEqual([[[1]], [[1]]]);
  });

  test("publications wait until all workers have acknowledged the last ones, and then leave together", async () => {
    const { a, b, publish, acknowledge, batches } = twoPipes();
    publish("1");
    await twoTurns();
    // From here on the batcher knows that a batch takes time.
    acknowledge(a);
    acknowledge(b);
    publish("2");
    await twoTurns();
    publish("3");
    await twoTurns();
    acknowledge(a);
    publish("4");
    await twoTurns();
    expect([batches(a), batches(b)]).toEqual([
      [[1], [2]],
      [[1], [2]],
    ]);
    acknowledge(b);
    await until("the next batch", () => a.sent.length === 3 && b.sent.length === 3);
    expect(batches(a).at(-1)).toEqual([3, 4]);
    expect(batches(b).at(-1)).toEqual([3, 4]);
  });

  test("publications do not wait long for a worker that does not acknowledge, nor for one that has gone", async () => {
    const { a, b, publish, acknowledge, batches } = twoPipes();
    publish("1");
    await twoTurns();
    acknowledge(a);
    acknowledge(b);
    publish("2");
    await twoTurns();
    publish("3");
    await until("the batch to leave all the same", () => a.sent.length === 3);
    publish("4");
    await twoTurns();
    acknowledge(a);
    b.pipe.close();
    await until("the batch to leave without the closed pipe", () => a.sent.length === 4);
    expect(batches(a)).toEqual([[1], [2], [3], [4]]);
  });

  test("publications do not wait for a worker that handles a batch in no time", async () => {
    const { a, publish, acknowledge, batches } = twoPipes();
    publish("1");
    await twoTurns();
    acknowledge(a, 0.1);
    publish("2");
    await twoTurns();
    publish("3");
    await twoTurns();
    expect(batches(a)).toEqual([[1], [2], [3]]);
  });

  describe("after a batch of three", () => {
    /** Both workers needed this long for that batch and have acknowledged it, and the pause after it is over. */
    async function afterBatchOfThree(ms: number) {
      const pipes = twoPipes();
      const { a, b, publish, acknowledge } = pipes;
      publish("1");
      await twoTurns();
      for (const end of [a, b]) acknowledge(end, ms);
      publish("2", "3", "4");
      await twoTurns();
      for (const end of [a, b]) acknowledge(end, ms);
      busy(3);
      await twoTurns();
      return pipes;
    }

    test("publications wait until there are three again, and leave then", async () => {
      const found: unknown[] = [];
      // They wait for 25 ms at most: on a machine that stood still for longer, the test tries again.
      for (let tries = 0; tries < 20 && found.length !== 3; tries++) {
        const { a, publish, batches } = await afterBatchOfThree(2_000);
        publish("5");
        busy(3);
        await twoTurns();
        publish("6");
        await twoTurns();
        publish("7");
        await twoTurns();
        found.splice(0, found.length, ...batches(a));
      }
      expect(found).toEqual([[1], [2, 3, 4], [5, 6, 7]]);
    });

    test("publications wait no longer than a part of the time that the batch took", async () => {
      const { a, publish, batches } = await afterBatchOfThree(20);
      publish("5");
      await until("the batch to leave", () => a.sent.length === 3);
      expect(batches(a).at(-1)).toEqual([5]);
    });

    test("three publications leave once, also at the moment when they would have left anyway", async () => {
      const { a, publish, batches } = await afterBatchOfThree(8);
      publish("5", "6", "7");
      busy(6);
      await twoTurns();
      publish("8");
      await twoTurns();
      expect(batches(a)).toEqual([[1], [2, 3, 4], [5, 6, 7]]);
    });
  });

  test("publications keep their place among other messages", async () => {
    const { a, b, publish, acknowledge } = twoPipes();
    publish("1");
    await twoTurns();
    acknowledge(a);
    acknowledge(b);
    publish("2");
    await twoTurns();
    a.pipe.push("before");
    a.pipe.flush();
    publish("3");
    a.pipe.push("after");
    await twoTurns();
    acknowledge(a);
    acknowledge(b);
    await until("the next batch", () => b.sent.length === 3);
    expect(a.sent.flatMap((text) => JSON.parse(text)[4])).toEqual([1, 2, "before", 3, "after"]);
  });
});
