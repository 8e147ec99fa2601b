// The addresses that baton/client is given, and connections of which it hears too late.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ClientTimers } from "../support/library-client/client-timers";
import { RecordedClient } from "../support/library-client/recorded-client";
import { reply, ScriptedRelay } from "../support/library-client/scripted-relay";
import { until } from "../support/wait";

let timers: ClientTimers;
beforeEach(() => {
  timers = new ClientTimers();
});
afterEach(() => timers[Symbol.dispose]());

/** A connection that never opens of its own accord; the next one is a real one. */
class SilentSocket {
  static last: SilentSocket | undefined;
  static readonly #real = globalThis.WebSocket;
  readonly readyState = 0;
  readonly sent: string[] = [];
  onopen = (): void => {};
  onclose = (_: { code: number; reason: string }): void => {};
  onerror = (): void => {};
  onmessage = (_: { data: string }): void => {};

  static next(): void {
    SilentSocket.last = undefined;
    globalThis.WebSocket = SilentSocket as never;
  }

  constructor() {
    SilentSocket.last = this;
    globalThis.WebSocket = SilentSocket.#real;
  }

  send(frame: string): void {
    this.sent.push(frame);
  }

  close(): void {}
}

/** Resolves when the client tries that one. */
async function silent(): Promise<SilentSocket> {
  await until("the attempt", () => SilentSocket.last !== undefined);
  return SilentSocket.last as SilentSocket;
}

/** A client that has given up the first address, which did not come within two checks, and is open at the server's. */
async function openAfter(first: Promise<string>, server: ScriptedRelay): Promise<RecordedClient> {
  const addresses = [first];
  const client = new RecordedClient(() => addresses.shift() ?? server.address());
  await until("it to be asked for", () => client.asked === 1);
  timers.check();
  timers.check();
  await client.untilOpen();
  return client;
}

describe("an address that", () => {
  test("never comes is given up after two checks, and of no use when it comes later", async () => {
    await using server = new ScriptedRelay({ frame: reply });
    const late = Promise.withResolvers<string>();
    using client = await openAfter(late.promise, server);
    late.resolve("ws://127.0.0.1:1/late");
    server.dropAll();
    await until("another connection", () => server.connections === 2);
    await client.untilOpen();
    expect([client.asked, client.states]).toEqual([
      2,
      ["connecting 1006", "open", "connecting 1006", "open"],
    ]);
  });

  test("is refused after it was given up costs the new connection nothing", async () => {
    await using server = new ScriptedRelay({ frame: reply });
    const late = Promise.withResolvers<string>();
    using client = await openAfter(late.promise, server);
    late.reject(new Error("no backend"));
    await server.settled();
    expect(client.states).toEqual(["connecting 1006", "open"]);
  });

  test.each([
    [1001, 1],
    [1006, 1],
    [1011, 2],
    [4007, 2],
    [4008, 1],
    [4014, 1],
    [4015, 2],
  ])(
    "was in use when the connection closed with %i: the caller has been asked %i times then",
    async (code, times) => {
      await using server = new ScriptedRelay({
        frame(socket, frame) {
          reply(socket, frame);
          if (socket.data !== 1 || JSON.parse(frame).since === undefined) return;
          if (code === 1006) socket.terminate();
          else socket.close(code);
        },
      });
      using client = new RecordedClient(server.address);
      await until("another connection", () => server.connections === 2);
      await client.untilOpen();
      expect(client.states).toEqual(["open", `connecting ${code}`, "open"]);
      expect(client.asked).toBe(times);
    },
  );

  test("follows one where nobody answered is tried three times too", async () => {
    const failuresBefore: number[] = [];
    using _client = new RecordedClient(() => {
      failuresBefore.push(timers.pauses.length);
      return `ws://127.0.0.1:1/${failuresBefore.length}`;
    });
    await until("three addresses", () => failuresBefore.length === 3);
    expect(failuresBefore).toEqual([0, 3, 6]);
  });

  test("comes after close() opens nothing", async () => {
    await using server = new ScriptedRelay({ frame: reply });
    const late = Promise.withResolvers<string>();
    const client = new RecordedClient(() => late.promise);
    client.client.close();
    late.resolve(server.address());
    await late.promise;
    expect([client.states, timers.running, server.connections]).toEqual([["closed"], 0, 0]);
  });
});

describe("a connection that was given up", () => {
  test("and opens after close() is sent nothing", async () => {
    SilentSocket.next();
    const client = new RecordedClient(() => "ws://127.0.0.1:1/");
    const socket = await silent();
    client.client.close();
    socket.onopen();
    expect(socket.sent).toEqual([]);
  });

  test("costs the next one nothing, whatever it still says", async () => {
    await using server = new ScriptedRelay({ frame: reply });
    SilentSocket.next();
    using client = new RecordedClient(server.address);
    const socket = await silent();
    timers.check();
    timers.check();
    await client.untilOpen();
    socket.onmessage({ data: '{"error":{"code":"too_many_topics","message":"late"}}' });
    socket.onerror();
    socket.onclose({ code: 4001, reason: "late" });
    expect(client.states).toEqual(["connecting 1006", "open"]);
    expect([server.connections, timers.running]).toEqual([1, 1]);
  });
});

test("topics that are chosen while it connects are sent when the connection is open", async () => {
  SilentSocket.next();
  using client = new RecordedClient(() => "ws://127.0.0.1:1/");
  const socket = await silent();
  client.follow("a");
  await Promise.resolve();
  expect(socket.sent).toEqual([]);
  socket.onopen();
  expect(socket.sent).toEqual(['{"topics":[]}', '{"topics":["a"],"since":{}}']);
});
