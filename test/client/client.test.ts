// The client of baton/client against a real relay: topics, lost connections, closes and addresses.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ClientTimers } from "../support/library-client/client-timers";
import { RecordedClient } from "../support/library-client/recorded-client";
import { freePort } from "../support/machine/free-port";
import { TcpProxy } from "../support/machine/tcp-proxy";
import { startRelay, type TestRelay } from "../support/relay/test-relay";
import { until } from "../support/wait";

let timers: ClientTimers;
beforeEach(() => {
  timers = new ClientTimers();
});
afterEach(() => timers[Symbol.dispose]());

/** A client whose backend registers it each time that it asks. */
class RegisteredClient extends RecordedClient {
  constructor(relay: TestRelay, through = (url: string): string => url) {
    super(async () => through(await relay.register(1)));
  }
}

const sorted = async (client: RecordedClient, count: number) =>
  (await client.take(count)).toSorted();

describe("topics", () => {
  test("those chosen at once go into one command, and each message comes with its data and position", async () => {
    await using relay = await startRelay();
    using client = new RegisteredClient(relay);
    client.follow("news");
    const message = Promise.withResolvers<unknown>();
    client.client.on("orders", (data, about) => message.resolve([data, about]));
    await client.untilOpen();
    await relay.publish("tech", "not chosen");
    const { json } = await relay.post("/publish", { topic: "orders", data: { id: 1 } });
    const { offset, epoch } = json;
    const data = { id: 1 };
    expect(await message.promise).toEqual([data, { topic: "orders", data, offset, epoch }]);
    await relay.publish("news", "hi");
    expect(await client.take(1)).toEqual(['news: "hi"']);
    expect(client.states).toEqual(["open"]);
  });

  test("can be changed while it is connected, and nobody else's are touched", async () => {
    await using relay = await startRelay();
    using client = new RegisteredClient(relay);
    const leave = client.follow("a");
    await client.untilOpen();
    client.follow("b");
    await until("b", async () => (await relay.publish("b", "1")) === 1);
    leave();
    await until("a to be left", async () => (await relay.publish("a", "-")) === 0);
    await relay.publish("b", "2");
    const taken = (await client.take(2)).filter((one) => one !== 'a: "-"');
    expect(taken).toContain('b: "1"');
    client.follow("a");
    await until("a", async () => (await relay.publish("a", "3")) === 1);
    await until("all", () => client.messages.rest.includes('a: "3"'));
    expect(client.lost).toEqual([]);
    expect(client.asked).toBe(1);
    expect(client.states).toEqual(["open"]);
  });

  test("of several listeners are left when the last one goes", async () => {
    await using relay = await startRelay();
    using client = new RegisteredClient(relay);
    const leaves = [client.follow("a"), client.follow("a")];
    await client.untilOpen();
    await relay.publish("a", "both");
    expect(await client.take(2)).toEqual(['a: "both"', 'a: "both"']);
    leaves[0]?.();
    leaves[0]?.();
    await relay.publish("a", "one");
    expect(await client.take(1)).toEqual(['a: "one"']);
    leaves[1]?.();
    await until("it to be left", async () => (await relay.publish("a", "-")) === 0);
    expect(client.messages.rest).toEqual([]);
  });

  test("may have any name", async () => {
    await using relay = await startRelay();
    using client = new RegisteredClient(relay);
    const names = ["__proto__", "constructor", "toString", "topics", "error", 'a"b', "ü 😀"];
    for (const name of names) client.follow(name);
    await client.untilOpen();
    for (const name of names) await relay.publish(name, "1");
    const expected = (data: string) => names.map((name) => `${name}: "${data}"`);
    expect(await client.take(names.length)).toEqual(expected("1"));
    dropAll(relay);
    for (const name of names) await relay.publish(name, "2");
    expect(await sorted(client, names.length)).toEqual(expected("2").toSorted());
    expect(client.lost).toEqual([]);
  });

  test("begin at a position that the caller knows", async () => {
    await using relay = await startRelay();
    await relay.publishMany("a", 1);
    const { json } = await relay.request("GET", "/topics/a/history?limit=0");
    await relay.publishMany("a", 2, 2);
    using client = new RegisteredClient(relay);
    client.follow("a", json);
    expect(await client.take(2)).toEqual(['a: "m2"', 'a: "m3"']);
  });

  test("that begin at a position which the relay cannot fill are reported, also where that closes the client", async () => {
    await using relay = await startRelay({ BATON_HISTORY_SIZE: "1" });
    await relay.publishMany("a", 1);
    const { json } = await relay.request("GET", "/topics/a/history?limit=0");
    await relay.publishMany("a", 3);
    using client = new RegisteredClient(relay);
    client.follow("a", json);
    await client.untilOpen();
    expect(client.lost).toEqual(["a"]);
    using other = new RegisteredClient(relay);
    const close = () => other.client.close();
    other.client.on("a", () => {}, { since: json, onLost: close });
    await other.untilState("closed");
    await relay.publish("a", "hi");
    expect(await client.take(1)).toEqual(['a: "hi"']);
    expect(other.states).toEqual(["closed"]);
  });

  test("are not handed to a listener that another one has removed meanwhile", async () => {
    await using relay = await startRelay();
    using client = new RegisteredClient(relay);
    const leaves: (() => void)[] = [];
    client.client.on("a", () => leaves[0]?.());
    leaves.push(client.follow("a"));
    client.follow("b");
    await client.untilOpen();
    await relay.publish("a", "removed");
    await relay.publish("b", "end");
    expect(await client.take(1)).toEqual(['b: "end"']);
  });

  test("that another handler has go on from where they are, and what a new one wanted from before is reported", async () => {
    await using relay = await startRelay();
    await relay.publishMany("a", 1);
    const { json: before } = await relay.request("GET", "/topics/a/history?limit=0");
    using client = new RegisteredClient(relay);
    client.follow("a");
    await client.untilOpen();
    client.follow("a", before);
    await relay.publishMany("a", 1, 2);
    expect(await client.take(2)).toEqual(['a: "m2"', 'a: "m2"']);
    expect(client.lost).toEqual([]);
    client.follow("a", before);
    await until("the report", () => client.lost.length === 1);
    // Offsets of another epoch say nothing.
    client.follow("a", { ...before, offset: before.offset + 9, epoch: "another" });
    await until("another report", () => client.lost.length === 2);
  });
});

/** Ends all connections as slow consumers, which may come back. */
function dropAll(relay: TestRelay): void {
  const { connections } = relay.running.relay;
  for (const connection of [...connections.all()]) connections.end(connection, "slow_consumer");
}

describe("a lost connection", () => {
  test("costs nothing, nor another registration, and topics may change meanwhile", async () => {
    await using relay = await startRelay();
    await using network = await TcpProxy.start(relay.url);
    using client = new RegisteredClient(relay, network.through);
    client.follow("a");
    await client.untilOpen();
    for (let i = 0; i < 5; i++) {
      await relay.publish("a", `live ${i}`);
      expect(await client.take(1)).toEqual([`a: "live ${i}"`]);
      network.cutAll();
      client.follow(`more ${i}`);
      await relay.publish("a", `missed ${i}`);
      expect(await client.take(1)).toEqual([`a: "missed ${i}"`]);
    }
    expect(client.lost).toEqual([]);
    expect(client.asked).toBe(1);
    expect(client.states.slice(0, 3)).toEqual(["open", "connecting 1006", "open"]);
  });

  test("of which the relay has not kept all that was missed is reported, for that topic alone", async () => {
    await using relay = await startRelay({ BATON_HISTORY_SIZE: "3" });
    using client = new RegisteredClient(relay);
    for (const topic of ["a", "b"]) client.follow(topic);
    await client.untilOpen();
    const goOn = timers.hold();
    dropAll(relay);
    await relay.publishMany("a", 4);
    await relay.publishMany("b", 3);
    goOn();
    expect(await client.take(3)).toEqual(['b: "m1"', 'b: "m2"', 'b: "m3"']);
    expect(client.lost).toEqual(["a"]);
    await relay.publish("a", "live");
    expect(await client.take(1)).toEqual(['a: "live"']);
  });

  test("may have lost messages of a topic that keeps no history, which is reported too", async () => {
    await using relay = await startRelay({ BATON_HISTORY_SIZE: "0" });
    using client = new RegisteredClient(relay);
    client.follow("a");
    await client.untilOpen();
    client.follow("b");
    await until("b", async () => (await relay.publish("b", "1")) === 1);
    await client.take(1);
    expect(client.lost).toEqual([]);
    dropAll(relay);
    await until("both to be reported", () => client.lost.length === 2);
    expect(client.lost.toSorted()).toEqual(["a", "b"]);
  });

  test("costs nothing, though the page was busy when the new one opened, and the relay has chosen its topics", async () => {
    await using relay = await startRelay();
    const registration = await relay.registration(1, ["a"]);
    const Original = globalThis.WebSocket;
    let hold: Promise<void> | undefined;
    // Its open event comes late, as where a page does much at once.
    globalThis.WebSocket = class extends Original {
      override set onopen(handler: (event: Event) => void) {
        super.onopen = (event) => {
          if (hold === undefined) handler(event);
          else void hold.then(() => handler(event));
        };
      }
    };
    try {
      using client = new RecordedClient(() => registration.url);
      client.follow("a");
      await client.untilOpen();
      const open = Promise.withResolvers<void>();
      hold = open.promise;
      dropAll(relay);
      await relay.publish("a", "missed");
      const hasTopics = () =>
        [...relay.running.relay.connections.all()].some(({ topics }) => topics.length > 0);
      await until("the relay to choose", hasTopics);
      expect(await relay.publish("a", "live")).toBe(1);
      open.resolve();
      expect(await client.take(2)).toEqual(['a: "missed"', 'a: "live"']);
      await relay.publish("a", "last");
      expect(await client.take(1)).toEqual(['a: "last"']);
      expect(client.lost).toEqual([]);
    } finally {
      globalThis.WebSocket = Original;
    }
  });

  test("reports to no other topic what a position of an older life of the relay has lost", async () => {
    const PORT = String(freePort());
    const relay = await startRelay({ PORT });
    await using network = await TcpProxy.start(relay.url);
    using client = new RecordedClient(async () => network.through(await current.register(1)));
    let current = relay;
    client.follow("a");
    await client.untilOpen();
    await relay.publish("a", "1");
    await client.take(1);
    await relay[Symbol.asyncDispose]();
    // It has a memory of its own, and does not know the address.
    await using next = await startRelay({ PORT });
    current = next;
    await until("it to come back", () => client.client.state === "open");
    await until("the loss to be reported", () => client.lost.length === 1);
    await next.publish("a", "2");
    expect(await client.take(1)).toEqual(['a: "2"']);
  });
});

describe("a close", () => {
  test.each([
    ["that another connection with its id has replaced it", 4001],
    ["that its registration is deleted", 4503],
    ["of the backend that tells it to stay away", 3503],
  ])("%s is final: the caller is told, and nothing is tried again", async (_, code) => {
    await using relay = await startRelay();
    using client = new RegisteredClient(relay);
    await client.untilOpen();
    const [connection] = relay.running.relay.connections.all();
    const { id = "" } = connection ?? {};
    if (code === 4001) await relay.open(`${relay.url.replace("http", "ws")}/ws/${id}`);
    else if (code === 4503) await relay.request("DELETE", `/register/${id}`);
    else await relay.request("DELETE", `/users/1/connections?code=${code}`);
    await client.untilState(`closed ${code}`);
    expect(client.states).toEqual(["open", `closed ${code}`]);
    expect([timers.pauses, timers.running, client.asked]).toEqual([[], 0, 1]);
  });

  test("of the backend that allows it to come back costs its registration, so it asks for another address", async () => {
    await using relay = await startRelay();
    using client = new RegisteredClient(relay);
    client.follow("a");
    await client.untilOpen();
    await relay.request("DELETE", "/users/1/connections?code=4000");
    await until("it to come back", async () => (await relay.publish("a", "hi")) === 1);
    expect([client.asked, timers.pauses]).toEqual([2, [500]]);
  });

  test("by the caller is final, and is not called twice", async () => {
    await using relay = await startRelay();
    const client = new RegisteredClient(relay);
    client.follow("a");
    await client.untilOpen();
    client.client.close();
    client.client.close();
    client.follow("b");
    expect(client.states).toEqual(["open", "closed"]);
    await until("the relay to know", () => relay.counts.connections === 0);
    expect(relay.counts.registrations).toBe(0);
    expect([timers.pauses, timers.running]).toEqual([[], 0]);
  });
});

describe("an address", () => {
  test("that was refused three times is no longer good, and the caller is asked for another one", async () => {
    await using relay = await startRelay();
    using client = new RegisteredClient(relay);
    client.follow("a");
    await client.untilOpen();
    const [connection] = relay.running.relay.connections.all();
    const goOn = timers.hold();
    dropAll(relay);
    await client.untilState("connecting 4008");
    // As if it had expired while the client was away.
    await relay.request("DELETE", `/register/${connection?.id}`);
    await relay.publish("a", "missed");
    goOn();
    expect(await client.take(1)).toEqual(['a: "missed"']);
    expect([client.asked, client.lost]).toEqual([2, []]);
    expect(timers.pauses).toEqual([500, 1_000, 2_000]);
  });

  test("where nobody answers is tried again soon, also where only an error says so, as in Node 22", async () => {
    await using relay = await startRelay();
    const Real = globalThis.WebSocket;
    let attempts = 0;
    /** It stays in the state CONNECTING, and calls no onclose. */
    class Refused {
      readonly readyState = 0;
      onerror: (() => void) | undefined;
      constructor() {
        if (++attempts === 2) globalThis.WebSocket = Real;
        queueMicrotask(() => this.onerror?.());
      }
      close(): void {
        this.onerror?.();
      }
    }
    globalThis.WebSocket = Refused as never;
    using client = new RegisteredClient(relay);
    try {
      await client.untilOpen();
    } finally {
      globalThis.WebSocket = Real;
    }
    expect([client.states, client.asked]).toEqual([
      ["connecting 1006", "connecting 1006", "open"],
      1,
    ]);
    expect(timers.pauses).toEqual([500, 1_000]);
  });

  test("may have parameters of its own", async () => {
    await using relay = await startRelay();
    using client = new RegisteredClient(relay, (url) => `${url}?heartbeat=4&format=plain`);
    client.follow("a");
    await client.untilOpen();
    await relay.publish("a", "hi");
    expect(await client.take(1)).toEqual(['a: "hi"']);
  });
});
