// A whole relay while its Redis is away: what clients and publishers notice.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { SessionClient } from "../../support/centrifuge/session-client";
import { Client } from "../../support/clients/client";
import { RedisServer } from "../../support/engines/redis-server";
import { APP, PUSHER_ENV } from "../../support/pusher/app";
import { PusherClient } from "../../support/pusher/socket-client";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

setDefaultTimeout(120_000);

const untilHealth = (relay: TestRelay, status: number) =>
  until(`health to be ${status}`, async () => {
    return (await relay.request("GET", "/health")).status === status;
  });

/** Publishes again and again, with one key, until it is acknowledged. */
async function persist(relay: TestRelay, message: string) {
  const body = { topic: "t", message, idempotency_key: message };
  let answer = await relay.post("/publish", body);
  await until("an acknowledgement", async () => {
    if (answer.status === 200) return true;
    expect(answer.status).toBe(503);
    answer = await relay.post("/publish", body);
    return answer.status === 200;
  });
  return answer.json;
}

/** A client of each kind, subscribed to the topic t. */
async function clients(relay: TestRelay) {
  const plain = await relay.connect(1, ["t"]);
  const address = `${await relay.register(2)}?format=json`;
  const json = await relay.open(address);
  json.send({ topics: ["t"] });
  const position = JSON.parse(await json.next()).topics.t;
  const session = await SessionClient.connect(relay, { topics: ["t"] });
  return { plain, json, address, position, session };
}

describe("a relay whose Redis is away", () => {
  test("while Redis is away connections stay open and requests get 503 at once; then everything resumes", async () => {
    await using server = await RedisServer.start({ durable: true });
    await using relay = await startRelay({ BATON_ENGINE: server.url });
    const { plain, json, session } = await clients(relay);
    await persist(relay, "1");
    await server.kill();
    await untilHealth(relay, 503);
    const began = performance.now();
    const id = "0".repeat(32);
    const calls = [
      relay.post("/publish", { topic: "t", message: "lost" }),
      relay.post("/publish", [{ topic: "t", message: "lost" }]),
      relay.post("/register", { user_id: 1 }),
      relay.request("GET", `/ws/${id}`, {
        headers: { upgrade: "websocket", connection: "upgrade" },
      }),
      relay.request("GET", `/sse/${id}`),
      relay.request("DELETE", `/register/${id}`),
      relay.request("GET", "/topics/t/history"),
      relay.post("/api/publish", { channel: "t", data: 1 }),
    ];
    for (const { status, text } of await Promise.all(calls)) {
      expect(text).toContain(status === 200 ? '"error"' : "engine_unavailable");
      if (status !== 200) expect(status).toBe(503);
    }
    const refused = await session.ask("subscribe", { channel: "other" });
    expect(refused.error).toMatchObject({ temporary: true });
    json.send({ topics: ["t", "other"] });
    const [first = "", second = ""] = await json.take(2);
    expect(JSON.parse(first)).toMatchObject({ data: "1" });
    expect(JSON.parse(second)).toMatchObject({ error: { code: "engine_unavailable" } });
    // Each call would wait 2.5 s for an answer of Redis.
    expect(performance.now() - began).toBeLessThan(2_500);
    await server.run();
    await untilHealth(relay, 200);
    await persist(relay, "2");
    expect(await plain.take(2)).toEqual(["1", "2"]);
    expect(JSON.parse(await json.next())).toMatchObject({ data: "2", offset: 2 });
    for (const offset of [1, 2]) {
      expect(await session.next()).toMatchObject({ pub: { data: String(offset), offset } });
    }
    expect(relay.counts.connections).toBe(3);
  });

  test("when Redis returns without its data, connections with positions are closed to learn of it, and others stay open", async () => {
    await using server = await RedisServer.start();
    await using relay = await startRelay({ BATON_ENGINE: server.url });
    const { plain, json, address, position, session } = await clients(relay);
    await persist(relay, "1");
    await server.kill();
    await untilHealth(relay, 503);
    await server.run();
    await persist(relay, "2");
    expect(await plain.take(2)).toEqual(["1", "2"]);
    expect(await json.closed).toMatchObject({ code: 4010 });
    expect(await session.closed).toMatchObject({ code: 3010 });
    // The address is still valid: the node has stored the registrations that it owns in Redis again.
    const again = await relay.open(address);
    again.send({ topics: ["t"], since: { t: { ...position, offset: 1 } } });
    const { t } = JSON.parse(await again.next()).topics;
    expect(t).toMatchObject({ offset: 1, recovered: false });
    expect(t.epoch).not.toBe(position.epoch);
    await persist(relay, "3");
    expect(JSON.parse(await again.next())).toMatchObject({ data: "3", offset: 2 });
  });

  test("a Pusher client that comes while Redis is away is told nothing, and connected when Redis is there", async () => {
    await using server = await RedisServer.absent();
    await using relay = await startRelay({ BATON_ENGINE: server.url, ...PUSHER_ENV });
    const client = await Client.open(`${relay.url.replace("http", "ws")}/app/${APP.key}`);
    await untilHealth(relay, 503);
    await server.run();
    expect(await client.next()).toStartWith('{"event":"pusher:connection_established"');
    await client.close();
  });

  test("an event of a Pusher client is refused while Redis is away, and the connection stays", async () => {
    await using server = await RedisServer.start({ durable: true });
    await using relay = await startRelay({ BATON_ENGINE: server.url, ...PUSHER_ENV });
    const client = await PusherClient.open(relay.url);
    await client.subscribed("private-a");
    await server.kill();
    await untilHealth(relay, 503);
    client.send("client-x", {}, "private-a");
    const refused = { event: "pusher:error", channel: "private-a", data: { code: 4301 } };
    expect(await client.next()).toMatchObject(refused);
    await server.run();
    await untilHealth(relay, 200);
    const other = await PusherClient.open(relay.url);
    await other.subscribed("private-a");
    client.send("client-x", {}, "private-a");
    expect((await other.next()).event).toBe("client-x");
    await client.close();
    await other.close();
  });

  test("the log has a line when Redis is lost and one when it returns, and none for each attempt", async () => {
    await using server = await RedisServer.start();
    await using relay = await startRelay({ BATON_ENGINE: server.url, BATON_LOG_LEVEL: "warn" });
    await server.kill();
    await untilHealth(relay, 503);
    let attempts = 0;
    const refusing = Bun.listen({
      hostname: "127.0.0.1",
      port: server.port,
      socket: {
        open(socket) {
          attempts++;
          socket.end();
        },
        data() {},
      },
    });
    await until("some attempts", () => attempts >= 6);
    refusing.stop(true);
    await server.run();
    await untilHealth(relay, 200);
    const lines = relay.log.map((line) => JSON.parse(line).msg as string);
    expect(lines[0]).toMatch(/out of reach, trying again: Connection closed/);
    expect(lines.at(-1)).toMatch(/is back/);
    expect(lines.length).toBeLessThanOrEqual(4);
  });
});
