// Half requests that never end, and floods of registrations and connections. Rows A19, C12 and E2 of the fault catalogue.
// A bystander must notice nothing.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { Client } from "../../support/clients/client";
import { RawSocket } from "../../support/clients/raw-socket";
import { memoryKb } from "../../support/machine/processes";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

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
    await relay.post("/publish", { topic: "bystander", message: `message ${i}` });
    expect(await bystander.next()).toBe(`message ${i}`);
  }
  await relay[Symbol.asyncDispose]();
});

test("A19: a thousand half requests are cut off within 20 seconds, and others are served meanwhile", async () => {
  const begun = performance.now();
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
  await Promise.all(raws.map((raw) => raw.untilClosed()));
  expect(performance.now() - begun).toBeLessThan(25_000);
}, 60_000);

test("A19: a request that comes one byte at a time is cut off", async () => {
  const raws = await Promise.all(Array.from({ length: 50 }, () => RawSocket.open(relay.port)));
  const text = `POST /publish HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n${" ".repeat(4_000)}`;
  let open = raws.length;
  for (const raw of raws) raw.closed.then(() => open--);
  let sent = 0;
  await until(
    "the slow requests to be cut off",
    async () => {
      for (const raw of raws) raw.write(text[sent] ?? " ");
      sent++;
      await Bun.sleep(2_000);
      return open === 0;
    },
    100_000,
  );
}, 120_000);

test("C12: registrations that nobody uses stop at the limit with 429 and cost bounded memory", async () => {
  await start({ BATON_REGISTRATION_TTL_MS: "15000" });
  const before = memoryKb(relay.pid);
  let refused = 0;
  for (let i = 0; i < 1_100; i++) {
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, k) => relay.post("/register", { user_id: i * 100 + k })),
    );
    refused += answers.filter(({ status }) => status === 429).length;
    await Promise.all(answers.map((answer) => answer.arrayBuffer()));
    if (refused > 0) break;
  }
  expect(memoryKb(relay.pid) - before).toBeLessThan(200_000);
  const registerAgain = async () => (await relay.post("/register", { user_id: 1 })).status === 200;
  await until("registrations to expire", registerAgain, 30_000);
}, 120_000);

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
}, 120_000);

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
