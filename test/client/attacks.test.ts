// The client of baton/client against servers, callers and moments that are not kind to it.
import { afterEach, beforeEach, describe, expect, spyOn, test } from "bun:test";
import { ClientTimers } from "../support/library-client/client-timers";
import { RecordedClient } from "../support/library-client/recorded-client";
import { reply, ScriptedRelay } from "../support/library-client/scripted-relay";
import { startRelay } from "../support/relay/test-relay";
import { until } from "../support/wait";

let timers: ClientTimers;
let logged: ReturnType<typeof spyOn<typeof console, "error">>;
beforeEach(() => {
  timers = new ClientTimers();
  logged = spyOn(console, "error").mockImplementation(() => {});
});
afterEach(() => {
  timers[Symbol.dispose]();
  logged.mockRestore();
});

/** What browsers do when they have a network again. */
const comeOnline = () => (globalThis as unknown as EventTarget).dispatchEvent(new Event("online"));

/** The pauses of 8 failures in a row, with half of what is possible. */
const GROWING = [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000];

describe("pauses grow to half a minute at most", () => {
  test.each([
    ["0", 0, 0],
    ["1", 1, 30_000],
  ])("and are random: between 0 and that, here with %s", async (_, random, last) => {
    timers[Symbol.dispose]();
    timers = new ClientTimers(random);
    using _client = new RecordedClient(() => Promise.reject(new Error("no address")));
    await until("8 failures", () => timers.pauses.length >= 8);
    expect(timers.pauses[0]).toBe(random * 1_000);
    expect(timers.pauses[7]).toBe(last);
  });

  test("when addresses cannot be had, or are none", async () => {
    const answers = [new Error("no backend"), "<html>", "", undefined, null, "http:", 7, "ws://"];
    const given = answers.values();
    using client = new RecordedClient(async () => {
      const { value, done } = given.next();
      if (value instanceof Error || done) throw value;
      return value as string;
    });
    await until("8 failures", () => timers.pauses.length >= 8);
    expect(timers.pauses.slice(0, 8)).toEqual(GROWING);
    expect(client.states.slice(0, 8)).toEqual(Array(8).fill("connecting address"));
    expect(logged.mock.calls[0]?.[0]).toContain("no backend");
    // A page in the place of an address is shown.
    expect(logged.mock.calls[1]?.[0]).toEndWith(": <html>");
  });

  test("when the address throws at once, and the caller hears of it only after connect() has returned", async () => {
    let hasReturned = false;
    const seen: boolean[] = [];
    using client = new RecordedClient(() => {
      throw new Error("no backend");
    });
    client.onState = () => seen.push(hasReturned);
    hasReturned = true;
    await until("8 failures", () => timers.pauses.length >= 8);
    expect(seen).not.toContain(false);
  });

  test("when connections are accepted and closed at once, also after a reply", async () => {
    for (const isPolite of [false, true]) {
      timers.pauses.length = 0;
      await using server = new ScriptedRelay({
        open: (socket) => void (isPolite || socket.terminate()),
        frame(socket, frame) {
          reply(socket, frame);
          if (JSON.parse(frame).since) socket.close(1001);
        },
      });
      using client = new RecordedClient(server.address);
      client.follow("a");
      await until("8 failures", () => timers.pauses.length >= 8);
      expect(timers.pauses.slice(0, 8)).toEqual(GROWING);
    }
  });

  test("and begin again when there is a network", async () => {
    using _client = new RecordedClient(() => Promise.reject(new Error("no backend")));
    await until("5 failures", () => timers.pauses.length >= 5);
    const { length } = timers.pauses;
    comeOnline();
    await until("3 more", () => timers.pauses.length >= length + 4);
    expect(timers.pauses.slice(length, length + 4)).toEqual([500, 500, 1_000, 2_000]);
  });

  test("and begin again once a connection has stood for 5 seconds", async () => {
    let laterMs = 1_000_000;
    const realNow = performance.now.bind(performance);
    using _now = spyOn(performance, "now").mockImplementation(() => realNow() + laterMs);
    let isAway = false;
    await using server = new ScriptedRelay({
      open: (socket) => void (isAway && socket.terminate()),
      frame: reply,
    });
    let refuses = true;
    using client = new RecordedClient(() => {
      if (refuses) throw new Error("no backend");
      return server.address();
    });
    await until("4 failures", () => timers.pauses.length >= 4);
    refuses = false;
    for (const [stoodMs, isFirst] of [
      [4_000, false],
      [5_001, true],
    ] as const) {
      await client.untilOpen();
      const failures = timers.pauses.length;
      laterMs += stoodMs;
      server.dropAll();
      await until("the end", () => timers.pauses.length > failures);
      expect(timers.pauses[failures] === 500).toBe(isFirst);
      await client.untilOpen();
    }
    // It does not count for the attempts that fail after it.
    const failures = timers.pauses.length;
    laterMs += 5_001;
    isAway = true;
    server.dropAll();
    await until("8 failures", () => timers.pauses.length >= failures + 8);
    expect(timers.pauses.slice(failures, failures + 8)).toEqual(GROWING);
  });
});

describe("a server that", () => {
  test.each(["{", "null", "7", '{"topics":null,"topic":1}', '{"topics":{"a":null}}', "\0"])(
    "sends %j is left, without harm to the program, or ignored",
    async (garbage) => {
      let sends = true;
      await using server = new ScriptedRelay({
        frame(socket, frame) {
          if (sends) socket.send(garbage);
          sends = false;
          reply(socket, frame);
          if (JSON.parse(frame).since) socket.send('{"topic":"a","data":1}');
        },
      });
      using client = new RecordedClient(server.address);
      client.follow("a");
      expect(await client.take(1)).toEqual(["a: 1"]);
      expect(server.connections).toBeLessThanOrEqual(2);
    },
  );

  test("sends bytes is left, and tried again later", async () => {
    await using server = new ScriptedRelay({
      open: (socket) => void (socket.data === 1 && socket.sendBinary(new Uint8Array(9))),
      frame: reply,
    });
    using client = new RecordedClient(server.address);
    await client.untilOpen();
    expect(client.states).toEqual(["connecting invalid_frame", "open"]);
  });

  test("never answers is left after two checks", async () => {
    await using server = new ScriptedRelay({});
    using client = new RecordedClient(server.address);
    await until("its command", () => server.frames.length === 2);
    timers.check();
    expect(client.states).toEqual([]);
    timers.check();
    expect(client.states).toEqual(["connecting 1006"]);
    await until("another connection", () => server.connections === 2);
    // That one has as much time.
    timers.check();
    expect(timers.running).toBe(1);
    expect(client.states).toEqual(["connecting 1006"]);
  });

  test("has not subscribed it yet is not open for the caller", async () => {
    let subscribe = (): void => {};
    await using server = new ScriptedRelay({
      frame(socket, frame) {
        if (JSON.parse(frame).since === undefined) reply(socket, frame);
        else subscribe = () => reply(socket, frame);
      },
    });
    using client = new RecordedClient(server.address);
    client.follow("a");
    await until("the command", () => server.frames.length === 2);
    await server.settled();
    expect(client.client.state).toBe("connecting");
    subscribe();
    await client.untilOpen();
  });

  test("falls silent is asked, and left if it does not answer", async () => {
    let answers = true;
    await using server = new ScriptedRelay({
      frame(socket, frame) {
        if (frame !== "{}") reply(socket, frame);
        else if (answers) socket.send("{}");
      },
    });
    using client = new RecordedClient(server.address);
    await client.untilOpen();
    const ask = async () => {
      const asked = server.frames.length;
      timers.check();
      await server.settled();
      expect(server.frames.length).toBe(asked);
      timers.check();
      await until("the ping", () => server.frames.length > asked);
      expect(server.frames.at(-1)).toBe("{}");
    };
    for (let i = 0; i < 5; i++) {
      await ask();
      await server.settled();
    }
    expect(client.states).toEqual(["open"]);
    answers = false;
    await ask();
    timers.check();
    expect(client.states).toEqual(["open", "connecting 1006"]);
    await until("another connection", () => server.connections === 2);
    // Networks come and go: only what the caller can mend is logged.
    expect(logged).not.toHaveBeenCalled();
  });

  test("refuses its topics is asked again later, and the sentence is logged", async () => {
    await using relay = await startRelay({ BATON_CONNECTION_TOPICS_MAX: "1" });
    using client = new RecordedClient(() => relay.register(1));
    const leave = client.follow("a");
    client.follow("b");
    await client.untilState("connecting too_many_topics");
    expect(logged.mock.calls[0]?.[0]).toContain("baton: ");
    leave();
    await client.untilOpen();
    await relay.publish("b", "hi");
    expect(await client.take(1)).toEqual(['b: "hi"']);
  });
});

describe("a handler", () => {
  test("that throws costs nothing: other handlers and messages go on, and the error is logged", async () => {
    await using relay = await startRelay();
    using client = new RecordedClient(() => relay.register(1));
    client.client.on("a", () => {
      throw new Error("of the caller");
    });
    client.follow("a");
    client.onState = () => {
      throw new Error("of the caller");
    };
    await client.untilOpen();
    await relay.publishMany("a", 2);
    expect(await client.take(2)).toEqual(['a: "m1"', 'a: "m2"']);
    expect(logged).toHaveBeenCalledTimes(3);
  });

  test("that closes the client is the last one called", async () => {
    await using relay = await startRelay();
    const client = new RecordedClient(() => relay.register(1));
    client.client.on("a", () => client.client.close());
    client.follow("a");
    await client.untilOpen();
    await relay.publishMany("a", 3);
    await until("the relay to know", () => relay.counts.connections === 0);
    expect([client.states, client.messages.rest]).toEqual([["open", "closed"], []]);
  });

  test("may change the topics, its own too, at each message", async () => {
    await using relay = await startRelay();
    using client = new RecordedClient(() => relay.register(1));
    let calls = 0;
    const follow = (): void => {
      const leave = client.client.on("a", () => {
        calls++;
        leave();
        follow();
        client.follow(`topic ${calls}`);
      });
    };
    follow();
    client.follow("b");
    await client.untilOpen();
    for (let i = 0; i < 20; i++) {
      const before = calls;
      await until("it", async () => (await relay.publish("a", "x")) === 1 && calls > before);
    }
    await relay.publish("b", "end");
    expect(await client.take(1)).toEqual(['b: "end"']);
    expect(client.lost).toEqual([]);
  });
});

test("a message that comes twice, or late, is handed on once", async () => {
  const message = (offset: number, epoch = "e") =>
    JSON.stringify({ topic: "a", data: offset, offset, epoch });
  await using server = new ScriptedRelay({
    frame(socket, frame) {
      socket.send(message(9));
      if (JSON.parse(frame).since === undefined) return reply(socket, frame);
      socket.send('{"topics":{"a":{"offset":3,"epoch":"e"}}}');
      for (const offset of [3, 4, 4, 2, 7, 4]) socket.send(message(offset));
      socket.send(message(1, "f"));
      socket.send('{"topic":"b","data":"not asked for"}');
      socket.send(message(2, "f"));
    },
  });
  using client = new RecordedClient(server.address);
  client.follow("a");
  expect(await client.take(4)).toEqual(["a: 4", "a: 7", "a: 1", "a: 2"]);
});

test("a topic that is left and subscribed to again before the reply begins with the next reply", async () => {
  const replies: ((position: string) => void)[] = [];
  let tell = (_: string): void => {};
  await using server = new ScriptedRelay({
    frame(socket, frame) {
      if (JSON.parse(frame).since === undefined) reply(socket, frame);
      else replies.push((position) => socket.send(`{"topics":{"a":${position}}}`));
      tell = (message) => void socket.send(message);
    },
  });
  using client = new RecordedClient(server.address);
  const leave = client.follow("a", { offset: 1, epoch: "e" });
  await until("the command", () => replies.length === 1);
  leave();
  client.follow("a");
  await server.settled();
  expect(replies.length).toBe(1);
  replies[0]?.('{"offset":3,"epoch":"e","recovered":true}');
  await until("the next command", () => replies.length === 2);
  tell('{"topic":"a","data":"of the older one","offset":4,"epoch":"e"}');
  expect(server.frames.at(-1)).toBe('{"topics":["a"],"since":{}}');
  await server.settled();
  expect(client.messages.rest).toEqual([]);
  replies[1]?.('{"offset":3,"epoch":"e"}');
  await server.settled();
  server.dropAll();
  await until("another command", () => replies.length === 3);
  expect(server.frames.at(-1)).toBe('{"topics":["a"],"since":{"a":{"offset":3,"epoch":"e"}}}');
});

test("a burst of 100,000 messages arrives in order", async () => {
  const count = 100_000;
  await using server = new ScriptedRelay({
    frame(socket, frame) {
      if (JSON.parse(frame).since === undefined) return reply(socket, frame);
      socket.send('{"topics":{"a":{"offset":0,"epoch":"e"}}}');
      for (let i = 1; i <= count; i++)
        socket.send(`{"topic":"a","data":${i},"offset":${i},"epoch":"e"}`);
    },
  });
  using client = new RecordedClient(server.address);
  let last = 0;
  let isInOrder = true;
  client.client.on("a", (data) => {
    isInOrder &&= data === last + 1;
    last = data as number;
  });
  await until("all", () => last === count);
  expect(isInOrder).toBe(true);
});

test("a network that is there again is tried soon, and a connection that seems open is asked", async () => {
  await using server = new ScriptedRelay({
    frame(socket, frame) {
      if (frame === "{}") socket.send(frame);
      else reply(socket, frame);
    },
  });
  using client = new RecordedClient(server.address);
  await client.untilOpen();
  comeOnline();
  await until("the ping", () => server.frames.at(-1) === "{}");
  const goOn = timers.hold();
  server.dropAll();
  await client.untilState("connecting 1006");
  for (let i = 0; i < 3; i++) comeOnline();
  goOn();
  await client.untilOpen();
  expect([timers.pauses, server.connections]).toEqual([[500, 500, 500, 500], 2]);
  expect([client.states, timers.running]).toEqual([["open", "connecting 1006", "open"], 1]);
  const asked = server.frames.length;
  comeOnline();
  await until("another ping", () => server.frames.length > asked);
  expect([timers.pauses.length, server.connections]).toEqual([4, 2]);
});
