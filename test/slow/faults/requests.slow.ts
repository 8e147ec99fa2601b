// Half requests that never end, and floods of registrations and connections. Rows A19, C12 and E2 of the fault catalogue.
// A bystander must notice nothing.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Client } from "../../support/clients/client";
import { RawSocket } from "../../support/clients/raw-socket";
import { inFull } from "../../support/in-full";
import { memoryKb } from "../../support/machine/processes";
import { RelayProcess } from "../../support/relay/relay-process";
import { until, within } from "../../support/wait";

let relay: RelayProcess;
let bystander: Client;

/** Starts the relay, in place of one that runs, and connects the bystander. */
async function start(env: Record<string, string>): Promise<void> {
  await relay?.[Symbol.asyncDispose]();
  relay = await RelayProcess.start(env);
  bystander = await Client.open(await relay.register("bystander"));
  bystander.send({ topics: ["bystander"] });
  await bystander.settled();
}

beforeEach(() => start({ BATON_LOG_LEVEL: "info" }));
afterEach(async () => {
  for (let i = 0; i < 100; i++) {
    // On a connection of its own: one that was kept since the start may be closed as its time is over, in the moment in which it is used.
    const body = { topic: "bystander", message: `message ${i}` };
    await relay.post("/publish", body, { keepalive: false });
    expect(await bystander.next()).toBe(`message ${i}`);
  }
  await relay[Symbol.asyncDispose]();
});

test("A19: a thousand half requests are cut off, and others are served meanwhile", async () => {
  const kinds = [
    "",
    "GET /health HTTP/1.1\r\nHost: 127.0",
    "POST /publish HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{",
  ];
  const raws: RawSocket[] = [];
  for (let i = 0; i < 1_000; i++) {
    const raw = await RawSocket.open(relay.port);
    raw.write(kinds[i % kinds.length] ?? "");
    raws.push(raw);
  }
  const answer = await relay.post("/publish", { topic: "bystander", message: "meanwhile" });
  expect(answer.status).toBe(200);
  expect(await bystander.next()).toBe("meanwhile");
  const allClosed = Promise.all(raws.map((raw) => raw.closed));
  await within("all to be cut off", allClosed);
});

test("A19: a request that comes one byte at a time is cut off", async () => {
  const raws = await Promise.all(Array.from({ length: 50 }, () => RawSocket.open(relay.port)));
  const text = `POST /publish HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n${" ".repeat(4_000)}`;
  let open = raws.length;
  for (const raw of raws) raw.closed.then(() => open--);
  let sent = 0;
  await until("the slow requests to be cut off", async () => {
    for (const raw of raws) raw.write(text[sent] ?? " ");
    sent++;
    await Bun.sleep(2_000);
    return open === 0;
  });
});

test("C12: registrations that nobody uses stop at the limit with 429 and cost bounded memory", async () => {
  const max = inFull(100_000, 30_000);
  await start({ BATON_REGISTRATION_TTL_MS: "600000", BATON_REGISTRATIONS_MAX: String(max) });
  const before = memoryKb(relay.pid);
  let refused = 0;
  for (let i = 0; i < max / 90; i++) {
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, k) => relay.post("/register", { user_id: i * 100 + k })),
    );
    refused += answers.filter(({ status }) => status === 429).length;
    await Promise.all(answers.map((answer) => answer.arrayBuffer()));
    if (refused > 0) break;
  }
  expect(refused).toBeGreaterThan(0);
  expect(memoryKb(relay.pid) - before).toBeLessThan(100_000 + max);

  await start({ BATON_REGISTRATION_TTL_MS: "5000", BATON_REGISTRATIONS_MAX: "100" });
  const statusOfAnother = async () => (await relay.post("/register", { user_id: 1 })).status;
  await until("the limit", async () => (await statusOfAnother()) === 429);
  await until("registrations to expire", async () => (await statusOfAnother()) === 200);
});

test("E2: 5,000 connections that open and close in a storm, a thousand at a time, leave nothing behind", async () => {
  const before = memoryKb(relay.pid);
  for (let round = 0; round < 5; round++) {
    const clients: RawSocket[] = [];
    for (let i = 0; i < 1_000; i += 100) {
      const batch = Array.from({ length: 100 }, async (_, k) =>
        RawSocket.upgrade(await relay.register(`storm ${i + k}`)),
      );
      clients.push(...(await Promise.all(batch)));
    }
    expect(await relay.publish("tech", "storm")).toBe(1_000);
    for (const [i, raw] of clients.entries()) {
      if (i % 3 === 0) raw.reset();
      else raw.drop();
    }
    const areGone = async () => (await relay.publish("tech", "anybody?")) === 0;
    await until("all connections to be gone", areGone);
  }
  expect(memoryKb(relay.pid) - before).toBeLessThan(150_000);
});

test("E2: connections stop at the limit with 503 and Retry-After, and the others stay", async () => {
  await start({ BATON_CONNECTIONS_MAX: "50" });
  const urls = await Promise.all(Array.from({ length: 200 }, (_, i) => relay.register(i)));
  const opened = await Promise.all(urls.map((url) => Client.open(url).catch(() => undefined)));
  const clients = opened.filter((client) => client !== undefined);
  expect(clients).toHaveLength(49);
  const refused = urls.find((_, i) => opened[i] === undefined) ?? "";
  const answer = await fetch(refused.replace("ws:", "http:"));
  expect(answer.status).toBe(503);
  expect(answer.headers.get("retry-after")).not.toBeNull();
  await clients[0]?.close();
  await until("a place to come free", async () => {
    const client = await Client.open(refused).catch(() => undefined);
    return client !== undefined;
  });
});

describe("with BATON_KEEP_ALIVE_MS", () => {
  const KEPT_MS = inFull(40_000, 30_000);
  /** Longer than anything is kept that this setting does not keep. */
  const QUIET_MS = inFull(20_000, 15_000);
  const HEAD = "Host: 127.0.0.1\r\nContent-Type: application/json\r\n";
  const post = (path: string, body: string, head = "") =>
    `POST ${path} HTTP/1.1\r\n${HEAD}${head}Content-Length: ${body.length}\r\n\r\n${body}`;
  const PUBLISH = post("/publish", '{"topic":"t","message":"m"}');

  const requests = {
    "a GET": `GET /health HTTP/1.1\r\n${HEAD}\r\n`,
    "a preflight": `OPTIONS /publish HTTP/1.1\r\n${HEAD}Origin: http://a.test\r\n\r\n`,
    "a POST to /publish": PUBLISH,
    "a POST to /register": post("/register", '{"user_id":1}'),
    "a POST of a page": post("/register", '{"user_id":1}', "Origin: http://a.test\r\n"),
    "a POST to /api": post("/api/publish", '{"channel":"t","data":1}'),
    "a publication that is refused": post("/publish", "{}"),
    "a POST that is refused": post("/register", "{}"),
    "a path that does not exist": `GET /nowhere HTTP/1.1\r\n${HEAD}\r\n`,
  };

  /** For each request: what a connection that it came first on answers to another one, after a while. */
  const answersAfterQuiet = () =>
    Promise.all(
      Object.entries(requests).map(async ([name, request]) => {
        const raw = await RawSocket.open(relay.port);
        raw.write(request);
        await raw.until("HTTP/1.1 ");
        await Bun.sleep(QUIET_MS);
        raw.write(`GET /health HTTP/1.1\r\n${HEAD}\r\n`);
        const answer = await raw.until("HTTP/1.1 200 OK").catch((error: Error) => error.message);
        raw.drop();
        return [name, answer.slice(-15)];
      }),
    );

  const closedAfterMs = async (half: string) => {
    const raw = await RawSocket.open(relay.port);
    raw.write(PUBLISH);
    await raw.until("HTTP/1.1 200 OK");
    const begun = performance.now();
    raw.write(half);
    await within("the connection to be closed", raw.closed, KEPT_MS + 60_000);
    return performance.now() - begun;
  };

  test("A19: a connection serves another request after a while, whatever the first one was, and half of another is cut off: its body after 10 s, its head when the connection would be closed", async () => {
    await start({ BATON_KEEP_ALIVE_MS: String(KEPT_MS) });
    const [answers, bodyMs] = await Promise.all([
      answersAfterQuiet(),
      closedAfterMs(PUBLISH.slice(0, -5)),
      closedAfterMs("GET /health HTTP/1.1\r\nHost: 127.0"),
    ]);
    expect(answers).toEqual(Object.keys(requests).map((name) => [name, "HTTP/1.1 200 OK"]));
    expect(bodyMs).toBeLessThan(KEPT_MS - 10_000);
  });
});
