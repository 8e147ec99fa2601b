// Registrations of clients that can resume: how long they stay valid, and what ends them. Rows C2, C6 and H2 of the fault
// catalogue.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { JsonClient, statusOf } from "../../support/clients/json-client";
import { handshake, RawSocket } from "../../support/clients/raw-socket";
import { idOf, startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";
import { until } from "../../support/wait";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ BATON_TOPICS_FILE: topicsFile({ "deep:": { history_size: 5_000 } }) });
});
afterAll(() => relay[Symbol.asyncDispose]());

/** Whether the registration has no connection now, and can be used. */
const isAwaited = async (url: string): Promise<boolean> =>
  !relay.isConnected(url) && (await statusOf(relay, url)) === 426;

describe("the registration of a client that can resume", () => {
  test("stays valid for a client that lost its connection, which resumes where it was", async () => {
    const url = await relay.register(5);
    let client = await JsonClient.open(relay, url);
    let { wait: position } = await client.choose(["wait"]);
    for (let round = 1; round <= 3; round++) {
      await client.leave();
      expect(await isAwaited(url)).toBe(true);
      await relay.publishMany("wait", 2);
      await relay.publish("wait", "for 5", 5);
      client = await JsonClient.open(relay, url);
      const { wait } = await client.choose(["wait"], { wait: position });
      expect(wait.recovered).toBe(true);
      const data = (await client.takeTexts(3)).map((frame) => frame.split(" at ")[0]);
      expect(data).toEqual(["m1", "m2", "for 5"]);
      position = { epoch: wait.epoch, offset: wait.offset };
    }
    await client.expectNothingElse();
  });

  test("H2: stays valid after a TCP reset in the middle of a frame", async () => {
    const url = await relay.register();
    const raw = await RawSocket.open(relay.port);
    raw.write(handshake(`/ws/${idOf(url)}?format=json`));
    await raw.until("\r\n\r\n");
    raw.write(new Uint8Array([0x81, 0xfe, 0x10]));
    raw.reset();
    await until("the registration to be valid again", () => isAwaited(url));
    await JsonClient.open(relay, url);
  });

  test("stays valid for BATON_REGISTRATION_TTL_MS after a lost connection, and no longer", async () => {
    await using short = await startRelay({ BATON_REGISTRATION_TTL_MS: "500" });
    const url = await short.register();
    (await short.open(`${url}?format=json`)).drop();
    await until(
      "the registration to expire",
      () => short.counts.connections + short.counts.registrations === 0,
    );
    expect((await short.request("GET", `/ws/${idOf(url)}`)).status).toBe(404);
  });

  test.each(["slow_consumer", "position_lost", "no_pong", "too_many_frames"] as const)(
    "stays valid after the relay has ended its connection as %s",
    async (why) => {
      const url = await relay.register();
      const client = await JsonClient.open(relay, url);
      for (const connection of [...relay.running.relay.connections.all()]) {
        if (connection.id === idOf(url)) relay.running.relay.connections.end(connection, why);
      }
      await client.closed;
      await (await JsonClient.open(relay, url)).close();
    },
  );

  test("ends with a proper close", async () => {
    const url = await relay.register();
    const client = await JsonClient.open(relay, url);
    await client.close();
    expect(await statusOf(relay, url)).toBe(404);
    expect(JsonClient.open(relay, url)).rejects.toThrow();
  });

  test("ends with a plain socket, however that closed", async () => {
    const url = await relay.register();
    (await relay.open(url)).drop();
    await until("the relay to notice the drop", () => !relay.isConnected(url));
    expect(await statusOf(relay, url)).toBe(404);
  });

  test("moves to a new socket from one that still seems open, which is closed with 4001", async () => {
    const url = await relay.register();
    const older = await JsonClient.open(relay, url);
    const { over } = await older.choose(["over"]);
    await relay.publishMany("over", 1);
    expect(await older.takeTexts(1)).toEqual(["m1 at 1"]);
    const newer = await JsonClient.open(relay, url);
    expect((await older.closed).code).toBe(4001);
    await relay.publishMany("over", 1, 2);
    expect((await newer.choose(["over"], { over })).over.recovered).toBe(true);
    expect(await newer.takeTexts(2)).toEqual(["m1 at 1", "m2 at 2"]);
    expect(await relay.publish("over", "m3")).toBe(1);
    expect(await newer.takeTexts(1)).toEqual(["m3 at 3"]);
    await newer.close();
    expect(await statusOf(relay, url)).toBe(404);
  });

  test("closes its socket with 4503 when it is deleted", async () => {
    const url = await relay.register();
    const client = await JsonClient.open(relay, url);
    expect((await relay.unregister(url)).status).toBe(200);
    expect((await client.closed).code).toBe(4503);
    expect(await statusOf(relay, url)).toBe(404);
    expect((await relay.unregister(url)).status).toBe(404);
  });

  test("can be deleted while its client is away", async () => {
    const url = await relay.register();
    await (await JsonClient.open(relay, url)).leave();
    expect((await relay.unregister(url)).status).toBe(200);
    expect(await statusOf(relay, url)).toBe(404);
  });

  test("leaves nothing behind when it is deleted while its socket recovers", async () => {
    const top = await relay.publishMany("deep:gone", 1_000);
    const url = await relay.register();
    const client = await JsonClient.open(relay, url);
    client.send({ topics: ["deep:gone"], since: { "deep:gone": { ...top, offset: 0 } } });
    await client.nextText();
    expect((await relay.unregister(url)).status).toBe(200);
    expect((await client.closed).code).toBe(4503);
    expect(relay.isConnected(url)).toBe(false);
    expect(await relay.publish("deep:gone", "m")).toBe(0);
  });
});
