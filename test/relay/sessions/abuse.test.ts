// What a client can do to others by requesting too much, before and after it has connected its session. Rows B7 and B8 of the
// fault catalogue.
import { describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { SignJWT } from "jose";
import { SessionClient } from "../../support/centrifuge/session-client";
import { Client } from "../../support/clients/client";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";
import { until } from "../../support/wait";

const open = (relay: TestRelay): Promise<Client> =>
  Client.open(`${relay.url.replace("http", "ws")}/connection/websocket`);

const CONNECT = '{"id":1,"connect":{}}';

/** Limits are for each second. So many times too much is too much in one of them, however slowly a machine gets through it. */
const MANY = 10;

describe("B7: commands count like frames, however many come in one", () => {
  test("before the client has connected its session", async () => {
    await using relay = await startRelay({ BATON_CONNECTION_FRAMES_MAX: "100" });
    const client = await open(relay);
    client.send("{}\n".repeat(MANY * 101));
    expect(await client.closed).toEqual({ code: 3013, reason: "too many requests" });
  });

  test("after the client has connected its session", async () => {
    await using relay = await startRelay({ BATON_CONNECTION_FRAMES_MAX: "200" });
    const client = await open(relay);
    client.send(CONNECT);
    await client.next();
    const line = (id: number) => `{"id":${id},"publish":{"channel":"a","data":1}}`;
    const frame = (from: number) => Array.from({ length: 60 }, (_, i) => line(from + i)).join("\n");
    client.send(frame(2));
    expect(await client.take(60)).toHaveLength(60);
    for (let i = 1; i <= MANY * 3; i++) client.send(frame(100 * i));
    expect((await client.closed).code).toBe(3013);
  });

  test("in a request to /emulation", async () => {
    await using relay = await startRelay({ BATON_CONNECTION_FRAMES_MAX: "100" });
    const address = `${relay.url}/connection/http_stream`;
    const stream = await fetch(address, { method: "POST", body: CONNECT });
    const reader = (stream.body as ReadableStream<Uint8Array>).getReader();
    const { connect } = JSON.parse(new TextDecoder().decode((await reader.read()).value));
    const { session, node } = connect;
    const data = "{}\n".repeat(MANY * 101);
    await relay.post("/emulation", { session, node, data });
    const last = new TextDecoder().decode((await reader.read()).value);
    expect(JSON.parse(last).push.disconnect.code).toBe(3013);
    expect((await reader.read()).done).toBe(true);
  });
});

test.each(["", "?format=json"])(
  "B7: topics that a socket%s newly subscribes to count like frames",
  async (format) => {
    await using relay = await startRelay({ BATON_CONNECTION_FRAMES_MAX: "300" });
    const url = await relay.register();
    const client = await Client.open(url + format);
    const names = (mark: string) => Array.from({ length: 128 }, (_, i) => `${mark}${i}`);
    // The same topics again cost nothing.
    for (let i = 0; i < 20; i++) client.send({ topics: names("a") });
    await client.settled();
    let code: number | undefined;
    client.closed.then((close) => (code = close.code));
    // More than are allowed in a second, however long the machine takes for them.
    for (let i = 0; code === undefined && i < 2_000; i++) {
      client.send({ topics: names(`${i}-`) });
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(code).toBe(4013);
  },
);

test("B7: one frame with as many topics as are allowed is accepted, however low the limit on frames", async () => {
  await using relay = await startRelay({ BATON_CONNECTION_FRAMES_MAX: "2" });
  const topics = Array.from({ length: 128 }, (_, i) => `t${i}`);
  const client = await Client.open(await relay.register());
  client.send({ topics });
  await until("all topics", async () => (await relay.publish("t127", "hi")) === 1);
  expect(await client.next()).toBe("hi");
  client.drop();
});

describe("B8: commands that wait for the key of a token", () => {
  /** A client whose session waits, because the relay waits for the key of its token. */
  const waiting = async () => {
    const release = Promise.withResolvers<Response>();
    const server = Bun.serve({ port: 0, fetch: () => release.promise });
    const url = `http://127.0.0.1:${server.port}/keys`;
    const relay = await startRelay({ BATON_TOKEN_JWKS_URL: url });
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const signing = new SignJWT({ sub: "42" }).setProtectedHeader({ alg: "RS256", kid: "x" });
    const client = await open(relay);
    client.send({ id: 1, connect: { token: await signing.sign(privateKey) } });
    const end = async () => {
      client.drop();
      release.resolve(Response.json({ keys: [] }));
      await relay[Symbol.asyncDispose]();
      await server.stop(true);
    };
    return { client, end };
  };
  const publish = (id: number, size: number) =>
    `{"id":${id},"publish":{"channel":"a","data":"${"x".repeat(size)}"}}`;

  test("take at most as many bytes as may be buffered for a slow consumer", async () => {
    const { client, end } = await waiting();
    // 18 of these commands are more than 1 MiB.
    for (let i = 0; i < 18; i++) client.send(publish(i + 2, 60_000));
    expect((await client.closed).code).toBe(3013);
    await end();
  });

  test("are at most 1,024 in number", async () => {
    const { client, end } = await waiting();
    for (let i = 0; i < 1_025; i++) client.send(publish(i + 2, 1));
    expect((await client.closed).code).toBe(3013);
    await end();
  });
});

test("a frame with a thousand commands does not delay other clients", async () => {
  const rule = { presence: true };
  await using relay = await startRelay({ BATON_TOPICS_FILE: topicsFile({ "": rule }) });
  const asking = await SessionClient.connect(relay, { topics: ["a"] });
  const other = await relay.connect(1, ["b"]);
  const answers: string[] = [];
  const client = await open(relay);
  client.send(CONNECT);
  await client.next();
  const lines = Array.from(
    { length: 1_000 },
    (_, i) => `{"id":${i + 2},"presence":{"channel":"a"}}`,
  );
  client.send(lines.join("\n"));
  await client.next();
  const all = client.take(999).then(() => answers.push("the thousandth answer"));
  // It is not published over HTTP, because fetch has a thread of its own.
  relay.running.relay.publisher.publish({ topic: "b", message: "hi" });
  answers.push(await other.next());
  await all;
  expect(answers).toEqual(["hi", "the thousandth answer"]);
  client.drop();
  asking.drop();
});

test("D1: a reply with history is no larger than what may be buffered for a client, which reads it page by page", async () => {
  await using relay = await startRelay();
  const message = "x".repeat(60_000);
  for (let i = 0; i < 4; i++) await relay.post("/publish", Array(16).fill({ topic: "a", message }));
  const session = await SessionClient.connect(relay);
  const pages: number[] = [];
  let since = {};
  for (;;) {
    const { history } = await session.ask("history", { channel: "a", limit: -1, ...since });
    expect(JSON.stringify(history).length).toBeLessThan(1_100_000);
    expect(history.offset).toBe(64);
    const last = history.publications.at(-1);
    if (last === undefined) break;
    pages.push(history.publications.length);
    since = { since: { offset: last.offset, epoch: history.epoch } };
  }
  expect(pages).toEqual([17, 17, 17, 13]);
  session.drop();
});

test("a HEAD request opens no session", async () => {
  await using relay = await startRelay();
  const path = `/connection/sse?cf_connect=${encodeURIComponent(CONNECT)}`;
  const { status, headers, text } = await relay.request("HEAD", path);
  expect([status, text]).toEqual([200, ""]);
  expect(headers.get("content-type")).toStartWith("text/event-stream");
  expect(relay.counts.connections).toBe(0);
});

test("E1: sockets without a connected session count towards BATON_CONNECTIONS_MAX, for every client", async () => {
  await using relay = await startRelay({ BATON_CONNECTIONS_MAX: "3" });
  const url = await relay.register();
  const silent = [await open(relay), await open(relay), await open(relay)];
  expect(open(relay)).rejects.toThrow("refused");
  expect(Client.open(url)).rejects.toThrow("refused");
  expect((await fetch(url.replace("ws://", "http://").replace("/ws/", "/sse/"))).status).toBe(503);
  silent[0]?.drop();
  await until("the relay to have room again", () => relay.counts.connections === 2);
  (await Client.open(url)).drop();
  for (const client of silent) client.drop();
});
