// Webhooks over a network and a clock of the test: what is sent when, what is tried again, and what is given up.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { HookSender } from "../../../src/edge/hooks/sender";
import { createLog } from "../../../src/log";

/** What the receiver was sent, and how it answers next. */
interface Call {
  readonly url: string;
  readonly events: readonly string[];
  readonly at: number;
  readonly init: RequestInit;
}

class World {
  now = 0;
  leads = true;
  readonly calls: Call[] = [];
  readonly lines: string[] = [];
  answer: () => Response | Promise<Response> = () => new Response("ok");
  #timers: { readonly at: number; readonly work: () => void }[] = [];
  readonly sender: HookSender;
  readonly done = { sent: 0, givenUp: 0 };
  /** What waits in the engine. */
  readonly queue: { readonly number: number; readonly entry: string }[] = [];
  #entries = 0;
  #requests = 0;

  constructor(url = "http://receiver.test/hooks?a=1", addresses: "any" | "public" = "any") {
    const { queue } = this;
    this.sender = new HookSender({
      receiver: {
        url,
        ageMaxMs: 300_000,
        wants: () => true,
        textOf: () => undefined,
        lostTextOf: () => undefined,
        requestOf: (events) => ({
          body: `[${events.join(",")}]`,
          headers: { "content-type": "application/json", "x-request": String(++this.#requests) },
        }),
      },
      queue: { name: "queue" },
      queues: {
        append: () => 0,
        first: async (_, limit) => queue.slice(0, limit),
        removeUpTo: async (_, number) => {
          while ((queue[0]?.number ?? number + 1) <= number) queue.shift();
          return undefined;
        },
        size: async () => queue.length,
      },
      leads: async () => this.leads,
      onDone: (outcome, count) => {
        this.done[outcome] += count;
      },
      addresses,
      log: createLog("info", { write: (line) => void this.lines.push(JSON.parse(line).msg) }),
      now: () => this.now,
      after: (ms, work) => this.#timers.push({ at: this.now + ms, work }),
      random: () => 0,
      fetch: async (target, init) => {
        const events = JSON.parse(String(init.body)) as string[];
        this.calls.push({ url: target, events, at: this.now, init });
        return this.answer();
      },
    });
  }

  /** Rings the next timer, if it is due by then, and so on. */
  async pass(ms: number): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      for (let i = 0; i < 20; i++) await new Promise(setImmediate);
      const next = this.#timers.toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.now = Math.max(this.now, next.at);
      next.work();
    }
    this.now = end;
  }

  push(...names: readonly string[]): void {
    for (const name of names) {
      this.queue.push({ number: ++this.#entries, entry: `${this.now} ${JSON.stringify(name)}` });
    }
    this.sender.wake();
  }

  get told(): string[] {
    return this.calls.flatMap(({ events }) => events);
  }

  get figures() {
    return { ...this.done, waiting: this.sender.waiting };
  }
}

describe("a sender of webhooks", () => {
  let world: World;

  beforeEach(() => {
    world = new World();
  });

  test("tells events that happen together in one request, in their order", async () => {
    world.push("a", "b", "c");
    await world.pass(100);
    world.push("d");
    await world.pass(100);
    expect(world.calls.map(({ events }) => events)).toEqual([["a", "b", "c"], ["d"]]);
    expect(world.figures).toMatchObject({ sent: 4, givenUp: 0, waiting: 0 });
  });

  test("puts at most 100 events and a million characters into one request", async () => {
    world.push(...Array.from({ length: 250 }, (_, i) => String(i)));
    await world.pass(100);
    expect(world.calls.map(({ events }) => events.length)).toEqual([100, 100, 50]);
    world.push(...Array.from({ length: 3 }, () => "x".repeat(600_000)));
    await world.pass(100);
    expect(world.calls.slice(3).map(({ events }) => events.length)).toEqual([1, 1, 1]);
  });

  test("tries the same events again after growing pauses, each time with a new request, and keeps the order", async () => {
    world.answer = () => new Response("", { status: 500 });
    world.push("a");
    await world.pass(20);
    world.push("b");
    await world.pass(16_000);
    const pauses = world.calls.map(({ at }, i) => at - (world.calls[i - 1]?.at ?? 0));
    expect(pauses).toEqual([10, 1_000, 2_000, 4_000, 8_000]);
    world.answer = () => new Response("ok");
    await world.pass(20_000);
    expect(world.calls.slice(-2).map(({ events }) => events)).toEqual([["a"], ["b"]]);
    const requests = world.calls.map(({ init }) => new Headers(init.headers).get("x-request"));
    expect(requests).toEqual(["1", "2", "3", "4", "5", "6", "7"]);
    expect(world.figures).toMatchObject({ sent: 2, givenUp: 0 });
  });

  test("never pauses for more than a minute and a fifth, and begins again with a second after a success", async () => {
    world.answer = () => new Response("", { status: 503 });
    world.push("a");
    await world.pass(200_000);
    const pauses = world.calls.map(({ at }, i) => at - (world.calls[i - 1]?.at ?? 0));
    expect(Math.max(...pauses)).toBe(60_000);
    world.answer = () => new Response("ok");
    await world.pass(60_000);
    world.answer = () => new Response("", { status: 503 });
    world.push("b");
    await world.pass(1_020);
    expect((world.calls.at(-1)?.at ?? 0) - (world.calls.at(-2)?.at ?? 0)).toBe(1_000);
  });

  test("gives up what happened more than 5 minutes ago, says so, and goes on with what came later", async () => {
    world.answer = () => new Response("", { status: 500 });
    world.push("old");
    await world.pass(200_000);
    world.push("newer");
    await world.pass(200_000);
    expect(world.figures).toMatchObject({ givenUp: 1, waiting: 1 });
    world.answer = () => new Response("ok");
    await world.pass(100_000);
    expect(world.calls.at(-1)?.events).toEqual(["newer"]);
    expect(world.figures).toMatchObject({ sent: 1, givenUp: 1, waiting: 0 });
    expect(world.lines).toEqual([
      "http://receiver.test does not take webhooks, which are tried again: it answered with status 500",
      "http://receiver.test was not told of 1 events: it answered with status 500",
    ]);
  });

  test("gives nothing up at once that has waited while the relay was away", async () => {
    world.answer = () => new Response("", { status: 500 });
    world.push("old");
    world.now += 900_000;
    await world.pass(120_000);
    expect(world.figures).toMatchObject({ givenUp: 0, waiting: 1 });
    await world.pass(120_000);
    expect(world.figures).toMatchObject({ givenUp: 1, waiting: 0 });
  });

  test("sends fewer events at once to a receiver that takes no large requests (413)", async () => {
    world.answer = () => {
      const { body } = world.calls.at(-1)?.init ?? {};
      return new Response("", { status: String(body).length > 1_000 ? 413 : 200 });
    };
    world.push(...Array.from({ length: 100 }, (_, i) => `${i} ${"x".repeat(100)}`));
    await world.pass(100);
    expect(world.figures).toMatchObject({ sent: 100, givenUp: 0, waiting: 0 });
    const sizes = world.calls.map(({ events }) => events.length);
    expect(sizes.slice(0, 5)).toEqual([100, 50, 25, 12, 6]);
    expect(Math.max(...sizes.slice(5))).toBeLessThanOrEqual(6);
  });

  test("tries every event at least once, however long others took", async () => {
    world.answer = () => new Promise(() => {});
    world.push("a");
    await world.pass(10);
    world.push("b");
    await world.pass(400_000);
    expect(world.told).toEqual(["a"]);
    await world.sender.count();
    expect(world.figures.waiting).toBe(2);
  });

  test("follows no redirect, and takes no answer but 2xx for a success", async () => {
    for (const status of [301, 302, 307, 308, 400, 404]) {
      world = new World();
      world.answer = () =>
        new Response(null, { status, headers: { location: "http://other.test" } });
      world.push("a");
      await world.pass(500);
      expect(world.calls).toHaveLength(1);
      expect(world.calls[0]?.init.redirect).toBe("manual");
      expect(world.figures).toMatchObject({ sent: 0, waiting: 1 });
    }
    world = new World();
    world.answer = () => new Response(null, { status: 204 });
    world.push("a");
    await world.pass(500);
    expect(world.done.sent).toBe(1);
  });

  test("waits for an answer for some seconds", async () => {
    world.push("a");
    await world.pass(100);
    expect(world.calls[0]?.init.signal).toBeInstanceOf(AbortSignal);
  });

  test("that is stopped tries once more what waits, and sends nothing new", async () => {
    world.answer = () => new Response("", { status: 500 });
    world.push("a");
    await world.pass(100);
    world.answer = () => new Response("ok");
    await world.sender.stop();
    world.push("b");
    await world.pass(100);
    expect(world.told).toEqual(["a", "a"]);
    expect(world.figures).toMatchObject({ sent: 1, givenUp: 0, waiting: 0 });
  });

  test("that is stopped while its receiver takes something does not send it a second time", async () => {
    const answers: PromiseWithResolvers<Response>[] = [];
    world.answer = () => {
      const answer = Promise.withResolvers<Response>();
      answers.push(answer);
      return answer.promise;
    };
    world.push("a");
    await world.pass(20);
    world.push("b");
    const stopped = world.sender.stop();
    answers[0]?.resolve(new Response("ok"));
    await world.pass(0);
    answers[1]?.resolve(new Response("ok"));
    await stopped;
    expect(world.told).toEqual(["a", "b"]);
    expect(world.figures).toMatchObject({ sent: 2, waiting: 0 });
  });

  test("that is stopped leaves in the queue what its receiver still does not take", async () => {
    const bunSays = 'TooLarge fetching "http://receiver.test/hooks?a=1". For more information, …';
    world.answer = () => Promise.reject(new Error(bunSays));
    world.push("a", "b");
    await world.pass(100);
    await world.sender.stop();
    expect(world.queue).toHaveLength(2);
    expect(world.figures).toMatchObject({ sent: 0, givenUp: 0, waiting: 2 });
    expect(world.lines[0]).toEndWith("which are tried again: TooLarge.");
    expect(world.lines.at(-1)).toContain("was not told of 2 events, which wait");
  });

  test("waits as long as its receiver asks it to, up to 10 minutes", async () => {
    const asks = (seconds: string) => {
      const headers = { "retry-after": seconds };
      world.answer = () => new Response("", { status: 429, headers });
    };
    asks("30");
    world.push("a");
    await world.pass(50);
    asks("100000");
    await world.pass(30_000);
    world.answer = () => new Response("ok");
    await world.pass(600_000);
    const pauses = world.calls.map(({ at }, i) => at - (world.calls[i - 1]?.at ?? 0));
    expect(pauses).toEqual([10, 30_000, 600_000]);
  });

  test("tells a receiver that is gone (410) nothing more, and counts what it is not told", async () => {
    world.answer = () => new Response("", { status: 410 });
    world.push("a", "b");
    await world.pass(100);
    world.push("c");
    await world.pass(100);
    expect(world.calls).toHaveLength(1);
    expect(world.figures).toMatchObject({ sent: 0, givenUp: 3, waiting: 0 });
    expect(world.lines).toEqual([expect.stringContaining("status 410")]);
  });

  test("sends nothing when another node leads, and goes on with the next events when it leads again", async () => {
    world.leads = false;
    world.push("a");
    await world.pass(100);
    expect(world.calls).toEqual([]);
    world.leads = true;
    world.sender.wake();
    await world.pass(100);
    expect(world.told).toEqual(["a"]);
  });

  test("counts nothing while another node leads, though it was pausing, and then knows nothing of what that one has told", async () => {
    world.answer = () => new Response("", { status: 500 });
    world.push("a");
    await world.pass(3_500);
    expect(world.figures.waiting).toBe(1);
    world.leads = false;
    world.sender.rest();
    expect([world.figures.waiting, world.sender.lateMs]).toEqual([0, 0]);
    await world.pass(60_000);
    expect([world.figures.waiting, world.sender.lateMs]).toEqual([0, 0]);
    world.queue.splice(0);
    world.leads = true;
    const before = world.calls.length;
    world.push("b");
    await world.pass(1_500);
    const calls = world.calls.slice(before);
    expect(calls.map(({ events }) => events)).toEqual([["b"], ["b"]]);
    expect((calls[1]?.at ?? 0) - (calls[0]?.at ?? 0)).toBe(1_000);
  });
});

describe("addresses that webhooks are sent to", () => {
  const worlds: World[] = [];
  const send = async (url: string) => {
    const world = new World(url, "public");
    worlds.push(world);
    world.push("a");
    await world.pass(100);
    return world.calls.map((call) => call.url);
  };

  afterEach(async () => {
    for (const { sender } of worlds.splice(0)) await sender.stop();
  });

  test.each([
    "http://127.0.0.1:9/",
    "http://10.1.2.3/",
    "http://172.31.0.1/",
    "http://192.168.1.1/",
    "http://169.254.169.254/",
    "http://100.64.0.1/",
    "http://0.0.0.0/",
    "http://255.255.255.255/",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:a01:203]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[fe80::1]/",
    "http://[fd00::1]/",
    "http://[100::1]/",
    "http://[2001::1]/",
    "http://[2002:7f00:1::1]/",
    "https://192.168.1.1/",
  ])("%s is not called", async (url) => {
    expect(await send(url)).toEqual([]);
  });

  test.each([
    ["http://192.0.2.7:81/a?b=c", "http://192.0.2.7:81/a?b=c"],
    ["https://[2001:db8::7]/a", "https://[2001:db8::7]/a"],
  ])("%s is called", async (url, called) => {
    expect(await send(url)).toEqual([called]);
  });

  test("a name that means this machine is not called", async () => {
    const world = new World("http://localhost:9/", "public");
    worlds.push(world);
    world.push("a");
    const { promise, resolve } = Promise.withResolvers<void>();
    setTimeout(resolve, 0);
    await promise;
    await world.sender.stop();
    expect(world.calls).toEqual([]);
    expect(world.lines.at(-1)).toContain("was not told of 1 events");
  });
});
