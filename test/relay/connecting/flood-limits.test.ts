// What all connections may have together, and what one client may send in a second: topics, subscriptions, bytes, publications.
import { describe, expect, test } from "bun:test";
import { Client } from "../../support/clients/client";
import { EventStream } from "../../support/clients/event-stream";
import { RawSocket } from "../../support/clients/raw-socket";
import { Scrape } from "../../support/metrics/scrape";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

const sessions = (relay: TestRelay) => `${relay.url.replace("http", "ws")}/connection/websocket`;

async function session(relay: TestRelay): Promise<Client> {
  const client = await Client.open(sessions(relay));
  client.send('{"id":1,"connect":{}}');
  expect(JSON.parse(await client.next()).connect).toBeObject();
  return client;
}

const subscribe = async (client: Client, channel: string) => {
  client.send(JSON.stringify({ id: 2, subscribe: { channel } }));
  return JSON.parse(await client.next());
};

const refusals = async (relay: TestRelay, code: string): Promise<number> =>
  (await Scrape.of(`${relay.url}/metrics`)).value(`baton_refusals_total{code="${code}"}`);

describe.each([
  ["BATON_TOPICS_MAX", "too_many_relay_topics"],
  ["BATON_SUBSCRIPTIONS_MAX", "too_many_subscriptions"],
])("%s", (variable, code) => {
  const settings = { [variable]: "3", BATON_DEFAULT_TOPICS: "-" };

  test("refuses what would be too much, on every kind of connection, until something is free", async () => {
    await using relay = await startRelay(settings);
    const first = await relay.connect(1, ["a", "b"]);
    const plain = await relay.connect(2);
    plain.send({ topics: ["c", "d"] });
    expect(JSON.parse(await plain.next()).error.code).toBe(code);
    plain.send({ topics: ["c"] });
    await plain.settled();
    expect(await relay.publish("c", "m")).toBe(1);

    const { sse, url } = await relay.registration(3, ["e"]);
    await expect(RawSocket.upgrade(url)).rejects.toThrow("503");
    const answer = await fetch(sse);
    expect([answer.status, ((await answer.json()) as { error: object }).error]).toMatchObject([
      503,
      { code },
    ]);
    const told = await EventStream.open(sse);
    expect(told.retries).toHaveLength(1);

    const sdk = await session(relay);
    expect((await subscribe(sdk, "f")).error).toMatchObject({ code: 111, temporary: true });
    expect(await refusals(relay, code)).toBeGreaterThanOrEqual(5);

    await first.close();
    await until("room", async () => (await subscribe(sdk, "f")).subscribe !== undefined);
    // What was refused has left nothing behind.
    const last = await relay.connect(4);
    last.send({ topics: ["g"] });
    await last.settled();
    expect(await relay.publish("g", "m")).toBe(1);
  });

  test("refuses a session whose first topics find no room, so that its SDK tries again", async () => {
    await using relay = await startRelay({ ...settings, BATON_PERSONAL_TOPICS: "1" });
    await relay.connect(1, ["a", "b", "c"]);
    const client = await Client.open(sessions(relay));
    client.send('{"id":1,"connect":{"subs":{"x":{},"y":{}}}}');
    const reply = JSON.parse(await client.next());
    expect(reply.error).toMatchObject({ code: 111, temporary: true });
    expect(relay.running.relay.connections.size).toBe(1);
  });
});

test("topics that others have take no room of BATON_TOPICS_MAX", async () => {
  await using relay = await startRelay({ BATON_TOPICS_MAX: "2", BATON_DEFAULT_TOPICS: "-" });
  for (let user = 0; user < 10; user++) await relay.connect(user, ["a", "b"]);
  expect(await relay.publish("b", "m")).toBe(10);
});

describe("BATON_CONNECTION_BYTES_MAX", () => {
  const settings = { BATON_CONNECTION_BYTES_MAX: "20000" };
  const frame = JSON.stringify({ topics: ["tech"], padding: "é".repeat(1_000) });

  test("closes a connection that sends more in a second, so that its client reconnects", async () => {
    await using relay = await startRelay(settings);
    const plain = await relay.connect(1);
    const sdk = await session(relay);
    // 2 KB each, in UTF-8: ten times as much as is allowed.
    for (let i = 0; i < 100; i++) plain.send(frame);
    expect(await plain.closed).toMatchObject({ code: 4014, reason: "too many bytes" });
    const command = JSON.stringify({ id: 9, history: { channel: "é".repeat(100) } });
    for (let i = 0; i < 1_000; i++) sdk.send(command);
    expect(await sdk.closed).toMatchObject({ code: 3013, reason: "too many requests" });
    const scrape = await Scrape.of(`${relay.url}/metrics`);
    expect(scrape.value('baton_connections_closed_total{code="4014"}')).toBe(1);
  });

  test("counts pings too", async () => {
    await using relay = await startRelay(settings);
    const raw = await RawSocket.upgrade(await relay.register());
    for (let i = 0; i < 2_000; i++) raw.frame(9, "x".repeat(125));
    await raw.closed;
  });
});

describe("BATON_CLIENT_PUBLICATIONS_MAX", () => {
  const publish = (id: number) => JSON.stringify({ id, publish: { channel: "room", data: 1 } });

  test("refuses a client's publications beyond it with 111, and delivers the others", async () => {
    await using relay = await startRelay({ BATON_CLIENT_PUBLICATIONS_MAX: "5" });
    const receiver = await relay.connect(1, ["room"]);
    const sdk = await session(relay);
    const ids = Array.from({ length: 100 }, (_, i) => i + 2);
    sdk.send(ids.map(publish).join("\n"));
    const replies = (await sdk.take(100)).map((text) => JSON.parse(text));
    const refused = replies.filter(({ error }) => error !== undefined);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0].error).toMatchObject({ code: 111, temporary: true });
    const accepted = replies.length - refused.length;
    expect(accepted).toBeGreaterThanOrEqual(5);
    expect(await receiver.take(accepted)).toEqual(Array(accepted).fill("1"));
    expect(await refusals(relay, "too_many_client_publications")).toBe(refused.length);
  });
});
