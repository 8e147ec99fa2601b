// Registrations and sockets in all orders. Rows C1, C2, C4, C6, C9, C10 and C13 of the fault catalogue.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { Client } from "../../support/clients/client";
import { RawSocket } from "../../support/clients/raw-socket";
import { idOf, startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

let relay: TestRelay;
let bystander: Client;
beforeAll(async () => {
  relay = await startRelay();
  bystander = await relay.connect("bystander", ["bystander"]);
});
afterAll(() => relay[Symbol.asyncDispose]());

/** The bystander notices nothing of what other connections do. */
beforeEach(async () => {
  await relay.publish("bystander", "still here?");
  expect(await bystander.next()).toBe("still here?");
});
/** Resolves when nothing is left but the bystander. */
const cleaned = () =>
  until("only the bystander to be left", () => {
    const { connections, topics } = relay.counts;
    return connections === 1 && topics === 1;
  });

const remove = (url: string) => relay.request("DELETE", `/register/${idOf(url)}`);

describe("connecting", () => {
  test("with an unknown, malformed or deleted id gets 404", async () => {
    const deleted = await relay.register();
    await remove(deleted);
    const ids = [
      "0".repeat(32),
      idOf(deleted),
      "x",
      "__proto__",
      "%00",
      idOf(deleted).toUpperCase(),
    ];
    for (const id of ids) {
      const { status, json } = await relay.request("GET", `/ws/${id}`);
      expect([status, json.error.code]).toEqual([404, "unknown_connection"]);
      expect(Client.open(`ws://127.0.0.1:${relay.port}/ws/${id}`)).rejects.toThrow();
    }
  });

  test("again after the socket has closed gets 404, because the registration ended with it", async () => {
    const url = await relay.register();
    await (await relay.open(url)).close();
    await cleaned();
    expect(relay.open(url)).rejects.toThrow();
  });

  test("without an upgrade gets 426 and does not use up the registration", async () => {
    const url = await relay.register();
    const { status, json, headers } = await relay.request("GET", `/ws/${idOf(url)}`);
    expect([status, json.error.code]).toEqual([426, "upgrade_required"]);
    expect(headers.get("upgrade")).toBe("websocket");
    await (await relay.open(url)).close();
    await cleaned();
  });

  test("after the TTL of the registration gets 404", async () => {
    await using short = await startRelay({ BATON_REGISTRATION_TTL_MS: "30" });
    const url = await short.register();
    await until("the registration to expire", () => short.counts.registrations === 0);
    expect((await short.request("GET", `/ws/${idOf(url)}`)).status).toBe(404);
    expect((await short.request("DELETE", `/register/${idOf(url)}`)).status).toBe(404);
  });

  test("works with a registration whose TTL is 24 days, the longest time that a timer allows", async () => {
    await using long = await startRelay({ BATON_REGISTRATION_TTL_MS: String(2 ** 31 - 1) });
    const url = await long.register();
    // A timer of more than 2^31 ms would fire at once. There is nothing to wait for when it does not.
    await Bun.sleep(30);
    await long.open(url);
  });
});

describe("deleting a registration", () => {
  test("of a connected client closes its socket with 4503", async () => {
    const url = await relay.register();
    const client = await relay.open(url);
    expect((await remove(url)).status).toBe(200);
    expect(await client.closed).toEqual({ code: 4503, reason: "registration deleted" });
    expect((await remove(url)).status).toBe(404);
    await cleaned();
  });

  test("while its client connects never leaves a socket without a registration", async () => {
    for (let i = 0; i < 50; i++) {
      const url = await relay.register();
      const connecting = Client.open(url).catch(() => undefined);
      const deleted = await remove(url);
      expect(deleted.status).toBe(200);
      const client = await connecting;
      if (client !== undefined) expect((await client.closed).code).toBe(4503);
    }
    await cleaned();
  });

  test("three times at once succeeds once", async () => {
    const url = await relay.register();
    const client = await relay.open(url);
    const answers = await Promise.all([remove(url), remove(url), remove(url)]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 404, 404]);
    await client.closed;
    await cleaned();
  });

  test("during a fan-out lets at most the message in flight through", async () => {
    const url = await relay.register();
    const client = await relay.open(url, ["flood"]);
    const sent = Array.from({ length: 200 }, (_, i) => `message ${i}`);
    const publishing = Promise.all(sent.map((message) => relay.publish("flood", message)));
    expect((await remove(url)).status).toBe(200);
    await client.closed;
    await publishing;
    expect(await relay.publish("flood", "after")).toBe(0);
    await cleaned();
  });
});

describe("connecting the same id", () => {
  test("twice closes the older connection with 4001, and delivers to the newer one alone", async () => {
    const url = await relay.register();
    const older = await relay.open(url);
    const newer = await relay.open(url);
    expect((await older.closed).code).toBe(4001);
    expect(await relay.publish("tech", "once")).toBe(1);
    expect(await newer.next()).toBe("once");
    await newer.close();
    await cleaned();
  });

  test("twenty times at once leaves exactly one connection", async () => {
    const url = await relay.register();
    const clients = await Promise.all(Array.from({ length: 20 }, () => Client.open(url)));
    expect(relay.counts.connections).toBe(2);
    expect(await relay.publish("tech", "once")).toBe(1);
    const closes = clients.map((client) => client.closed.then(({ code }) => code));
    await remove(url);
    expect((await Promise.all(closes)).toSorted()).toEqual([...Array(19).fill(4001), 4503]);
    await cleaned();
  });
});

describe("a socket that ends", () => {
  test.each([
    ["with a close frame", async (url: string) => void (await (await relay.open(url)).close())],
    ["without a close frame", async (url: string) => (await RawSocket.upgrade(url)).drop()],
    ["with a TCP reset", async (url: string) => (await RawSocket.upgrade(url)).reset()],
    [
      "in the middle of a frame",
      async (url: string) => {
        const raw = await RawSocket.upgrade(url);
        raw.write(new Uint8Array([0x81, 0xfe, 0x10]));
        raw.drop();
      },
    ],
  ])("%s leaves nothing behind", async (_, go) => {
    await go(await relay.register());
    await cleaned();
  });

  test("next to 99 others, with and without a reset, leaves nothing behind", async () => {
    const raws = await Promise.all(
      Array.from({ length: 100 }, async (_, i) => RawSocket.upgrade(await relay.register(i))),
    );
    for (const [i, raw] of raws.entries()) {
      if (i % 2 === 0) raw.reset();
      else raw.drop();
    }
    await cleaned();
    expect(relay.counts.registrations).toBe(0);
  });
});

test("D6, H1: a client that does not answer pings is closed with 4012, though messages are being sent to it", async () => {
  await using brisk = await startRelay({ BATON_PING_MS: "60", BATON_PONG_MS: "1000" });
  const mute = await RawSocket.upgrade(await brisk.register());
  const alive = await brisk.connect();
  let isClosed = false;
  mute.closed.then(() => {
    isClosed = true;
  });
  await until("the mute client to be closed", async () => {
    await brisk.publish("tech", "are you there?");
    return isClosed;
  });
  expect(mute.received).toEndWith("\u000f\u00acno pong"); // 4012 is 0x0fac
  await alive.settled();
  expect(brisk.counts.connections).toBe(1);
});
