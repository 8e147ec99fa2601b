// The pipe between the supervisor and a worker: what leaves when, what is counted, and a fault in the middle. Row F9 of the
// fault catalogue, and what several workers cost.
import { describe, expect, test } from "bun:test";
import { Batcher } from "../../src/engines/batcher";
import { Pipe, type PipeOptions, UNACKNOWLEDGED_MAX } from "../../src/workers/pipe";
import { busy, until } from "../support/wait";

/** Another turn of the loop, and the one after. */
const turns = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

/** A channel that is not connected, with the texts that it sent. */
function loose(options: Partial<PipeOptions> = {}) {
  const sent: string[] = [];
  const channel = new Pipe({
    send: (text) => void sent.push(text),
    receive: () => {},
    failed: (error) => {
      throw error;
    },
    now: () => performance.now(),
    ...options,
  });
  return { channel, sent };
}

/** Two ends of one pipe. */
function pipe(ours: Partial<PipeOptions> = {}, theirs: Partial<PipeOptions> = {}) {
  const near: { channel: Pipe; sent: string[] } = loose({
    ...ours,
    send: (text) => {
      near.sent.push(text);
      far.channel.heard(text);
    },
  });
  const far: { channel: Pipe; sent: string[] } = loose({
    ...theirs,
    send: (text) => {
      far.sent.push(text);
      near.channel.heard(text);
    },
  });
  return { near, far };
}

test("what is said in one turn of the loop leaves in one text, in order", async () => {
  const heard: unknown[] = [];
  const { near } = pipe({}, { receive: (message) => heard.push(message) });
  for (let i = 0; i < 100; i++) near.channel.push({ i });
  expect(near.sent).toEqual([]);
  await turns();
  expect(near.sent).toHaveLength(1);
  near.channel.push({ i: 100 });
  await turns();
  expect(near.sent).toHaveLength(2);
  expect(heard).toEqual(Array.from({ length: 101 }, (_, i) => ({ i })));
});

test("F9: what is unread is counted until it was read, and who leaves too much unread is told of", async () => {
  let full = 0;
  const { channel, sent } = loose({ full: () => full++ });
  channel.push("x".repeat(1_000_000));
  await turns();
  expect(channel.unreadSize).toBeGreaterThan(1_000_000);
  channel.heard("[0,1,0,0,[]]");
  expect(channel.unreadSize).toBe(0);
  for (let i = 0; i <= UNACKNOWLEDGED_MAX / 1_000_000; i++) {
    expect([full, channel.isFull]).toEqual([0, false]);
    channel.push("x".repeat(1_000_000));
    channel.flush();
  }
  expect([full, channel.isFull]).toEqual([1, true]);
  channel.heard(`[0,${sent.length},0,0,[]]`);
  expect([channel.unreadSize, channel.isFull]).toEqual([0, false]);
});

test("what was read is said by itself where nothing else is to be said", async () => {
  const { near, far } = pipe();
  for (let i = 0; i < 10; i++) {
    near.channel.push({ i });
    near.channel.flush();
  }
  expect(near.channel.unreadSize).toBeGreaterThan(0);
  await until("it to be said", () => near.channel.unreadSize === 0);
  expect(far.sent).toHaveLength(1);
});

test("F7: a message that cannot be obeyed costs no other one, and is told", async () => {
  const heard: unknown[] = [];
  const faults: unknown[] = [];
  const receive = (message: unknown) => {
    if (message === 2) throw new Error("two");
    heard.push(message);
  };
  const { near } = pipe({}, { receive, failed: (error) => faults.push(error) });
  for (let i = 1; i <= 4; i++) near.channel.push(i);
  await until("all to be read", () => near.channel.unreadSize === 0 && heard.length > 0);
  expect(heard).toEqual([1, 3, 4]);
  expect(faults).toEqual([new Error("two")]);
});

test("to a side that has gone nothing is sent", async () => {
  const { channel, sent } = loose({
    send: () => {
      throw new Error("EPIPE");
    },
  });
  channel.push(1);
  await turns();
  channel.push(2);
  await turns();
  expect(sent).toEqual([]);
});

describe("publications to several workers", () => {
  /** Two channels of one wave, and what each worker is asked to say. */
  function two() {
    const wave = new Batcher();
    const [a, b] = [loose({ wave }), loose({ wave })];
    const publish = (...names: string[]) => {
      for (const name of names) for (const { channel } of [a, b]) channel.pushText(name, true);
    };
    /** The worker has taken all that it was sent; that took so long. */
    const take = ({ channel, sent }: typeof a, ms = 5) => {
      const number = JSON.parse(sent.at(-1) ?? "[0]")[0];
      channel.heard(`[0,${number},${ms},0,[]]`);
    };
    /** The messages of each text. */
    const sentTo = ({ sent }: typeof a) => sent.map((text) => JSON.parse(text)[4]);
    return { a, b, publish, take, sentTo };
  }

  test("leave at once when nobody has anything to do", async () => {
    const { a, b, publish, sentTo } = two();
    publish("1");
    await turns();
    expect([sentTo(a), sentTo(b)]).toEqual([[[1]], [[1]]]);
  });

  test("wait until all workers have taken those before, and then leave together", async () => {
    const { a, b, publish, take, sentTo } = two();
    publish("1");
    await turns();
    // It is known from here on that this takes time.
    take(a);
    take(b);
    publish("2");
    await turns();
    publish("3");
    await turns();
    take(a);
    publish("4");
    await turns();
    expect([sentTo(a), sentTo(b)]).toEqual([
      [[1], [2]],
      [[1], [2]],
    ]);
    take(b);
    await until("the next wave", () => a.sent.length === 3 && b.sent.length === 3);
    expect(sentTo(a).at(-1)).toEqual([3, 4]);
    expect(sentTo(b).at(-1)).toEqual([3, 4]);
  });

  test("do not wait for long for a worker that does not take them, nor for one that has gone", async () => {
    const { a, b, publish, take, sentTo } = two();
    publish("1");
    await turns();
    take(a);
    take(b);
    publish("2");
    await turns();
    publish("3");
    await until("the wave to leave all the same", () => a.sent.length === 3);
    publish("4");
    await turns();
    take(a);
    b.channel.close();
    await until("the wave to leave without it", () => a.sent.length === 4);
    expect(sentTo(a)).toEqual([[1], [2], [3], [4]]);
  });

  test("do not wait where a worker takes them in no time", async () => {
    const { a, publish, take, sentTo } = two();
    publish("1");
    await turns();
    take(a, 0.1);
    publish("2");
    await turns();
    publish("3");
    await turns();
    expect(sentTo(a)).toEqual([[1], [2], [3]]);
  });

  describe("of which three left in the last wave", () => {
    /** That wave took so long for both; it has been taken, and the pause after it is over. */
    async function taken(ms: number) {
      const all = two();
      const { a, b, publish, take } = all;
      publish("1");
      await turns();
      for (const one of [a, b]) take(one, ms);
      publish("2", "3", "4");
      await turns();
      for (const one of [a, b]) take(one, ms);
      busy(3);
      await turns();
      return all;
    }

    test("wait until as many are there, and leave then", async () => {
      const waves: unknown[] = [];
      // They wait for 25 ms at most: a machine that stood still for longer is asked again.
      for (let tries = 0; tries < 20 && waves.length !== 3; tries++) {
        const { a, publish, sentTo } = await taken(2_000);
        publish("5");
        busy(3);
        await turns();
        publish("6");
        await turns();
        publish("7");
        await turns();
        waves.splice(0, waves.length, ...sentTo(a));
      }
      expect(waves).toEqual([[1], [2, 3, 4], [5, 6, 7]]);
    });

    test("wait for no more than a part of the time that it took", async () => {
      const { a, publish, sentTo } = await taken(20);
      publish("5");
      await until("it to leave", () => a.sent.length === 3);
      expect(sentTo(a).at(-1)).toEqual([5]);
    });

    test("leave once, when as many are there in the moment in which they would leave anyhow", async () => {
      const { a, publish, sentTo } = await taken(8);
      publish("5", "6", "7");
      busy(6);
      await turns();
      publish("8");
      await turns();
      expect(sentTo(a)).toEqual([[1], [2, 3, 4], [5, 6, 7]]);
    });
  });

  test("keep their place among answers", async () => {
    const { a, b, publish, take } = two();
    publish("1");
    await turns();
    take(a);
    take(b);
    publish("2");
    await turns();
    a.channel.push("before");
    a.channel.flush();
    publish("3");
    a.channel.push("after");
    await turns();
    take(a);
    take(b);
    await until("the next wave", () => b.sent.length === 3);
    expect(a.sent.flatMap((text) => JSON.parse(text)[4])).toEqual([1, 2, "before", 3, "after"]);
  });
});
