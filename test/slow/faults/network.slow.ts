// What networks do to connections: cuts at every byte, slices, delays, narrow lines, dead lines, and proxies that cut quiet
// connections. Rows H1 to H4 of the fault catalogue. A bystander that is connected without a proxy must notice nothing.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Client } from "../../support/clients/client";
import { handshake, RawSocket } from "../../support/clients/raw-socket";
import type { ResumingClient } from "../../support/clients/resuming-client";
import { ResumingSocket } from "../../support/clients/resuming-socket";
import { ResumingStream } from "../../support/clients/resuming-stream";
import { memoryKb, openFiles } from "../../support/machine/processes";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

let relay: RelayProcess;
let network: TcpProxy;
let bystander: Client;
/** What was published, in order. */
let published: string[];

async function start(env: Record<string, string> = {}): Promise<void> {
  relay = await RelayProcess.start({ BATON_LOG_LEVEL: "info", BATON_HISTORY_SIZE: "5000", ...env });
  network = await TcpProxy.start(relay.url);
  bystander = await Client.open(await relay.register("bystander"));
  bystander.send({ topics: ["t"] });
  await bystander.settled();
}

beforeEach(() => {
  published = [];
});

afterEach(async () => {
  // Everything that was published reached the bystander once and in order, and the relay logged no error.
  expect(await bystander.take(published.length)).toEqual(published);
  expect(relay.loggedErrors).toEqual([]);
  await network[Symbol.asyncDispose]();
  await relay[Symbol.asyncDispose]();
});

async function publish(count: number, padding = ""): Promise<void> {
  for (let i = 0; i < count; i++) {
    const message = `m${published.length}${padding}`;
    const answer = await relay.post("/publish", { topic: "t", message });
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
    published.push(message);
  }
}

/** Connects so many sockets and as many streams over the proxy. */
async function connectClients(countOfEach: number): Promise<ResumingClient[]> {
  const register = () => relay.register("far");
  const options = { topics: ["t"], register, through: network.through };
  const clients = Array.from({ length: countOfEach }, () => [
    new ResumingSocket(options),
    new ResumingStream(options),
  ]).flat();
  await until("all clients to be subscribed", () => clients.every(({ ready }) => ready));
  return clients;
}

/** Every client received everything that was published, once and in order. */
async function expectAll(clients: readonly ResumingClient[]): Promise<void> {
  const haveAll = () => clients.every(({ count }) => count >= published.length);
  await until("all clients to have everything", haveAll).catch(() => {});
  for (const client of clients) {
    expect(client.received.get("t")?.join()).toBe(published.join());
    expect(client.lost).toEqual([]);
    expect(client.faults).toEqual([]);
  }
  await Promise.all(clients.map((client) => client.stop()));
}

/** How many bytes the relay answers with, up to the end of the headers. */
async function answerBytes(request: string): Promise<number> {
  const raw = await RawSocket.open(relay.port);
  raw.write(request);
  const head = await raw.until("\r\n\r\n");
  raw.drop();
  return head.length;
}

describe.each([
  ["a handshake", (id: string) => handshake(`/ws/${id}?format=json`)],
  ["a request for a stream", (id: string) => `GET /sse/${id} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`],
  [
    "a publish",
    () =>
      'POST /publish HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n{"topic":"x","message":"m"}',
  ],
])("H3: %s that is cut", (_, requestOf) => {
  test("at each of its bytes, or at each byte of its answer, leaves nothing behind", async () => {
    await start({ BATON_REGISTRATION_TTL_MS: "600000" });
    const path = new URL(await relay.register("cut")).pathname;
    const id = path.slice(path.lastIndexOf("/") + 1);
    const request = requestOf(id);
    const sizes = { toRelay: request.length, toClient: await answerBytes(request) };
    const before = openFiles(relay.pid);
    const port = Number(new URL(network.through(relay.url)).port);
    for (const way of ["toRelay", "toClient"] as const) {
      for (let bytes = 0; bytes < sizes[way]; bytes++) {
        network.limitBytes = {
          toRelay: Number.POSITIVE_INFINITY,
          toClient: Number.POSITIVE_INFINITY,
          [way]: bytes,
        };
        const raw = await RawSocket.open(port);
        raw.write(request);
        await raw.untilClosed();
        if (bytes % 50 === 0) await publish(1);
      }
    }
    const areClosed = () => openFiles(relay.pid) <= before + 1 && network.connections === 0;
    await until("all connections to be closed", areClosed);
    // The registration still waits for its client: a handshake that was cut does not count as one.
    const client = await Client.open(`${relay.url.replace("http", "ws")}/ws/${id}?format=json`);
    client.send({ topics: ["t"] });
    expect(JSON.parse(await client.next()).topics.t.offset).toBe(published.length);
    await client.close();
  });
});

test("H3: a network that passes one byte at a time delays clients and loses nothing", async () => {
  await start();
  network.sliceBytes = 1;
  const clients = await connectClients(5);
  await publish(50);
  await expectAll(clients);
});

test("H3: a network with 500 ms of latency that varies by 400 ms loses nothing", async () => {
  await start();
  network.latencyMs = 500;
  network.jitterMs = 400;
  const clients = await connectClients(5);
  await publish(200);
  for (const client of clients) client.drop();
  await publish(20);
  await expectAll(clients);
});

test("H3: a network of 1 KB a second: a client that cannot keep up is closed, reconnects and recovers what it missed", async () => {
  await start({ BATON_BACKPRESSURE_BYTES: "16384" });
  const clients = await connectClients(3);
  const before = memoryKb(relay.pid);
  network.bytesPerSecond = 1_024;
  await publish(1_200, "x".repeat(8_000));
  expect(memoryKb(relay.pid) - before).toBeLessThan(100_000);
  network.bytesPerSecond = Number.POSITIVE_INFINITY;
  network.cutAll();
  await expectAll(clients);
  await until("its line in the log", () => relay.output.includes("slow consumer closed"));
});

test("H3: a network that reports the end of a connection 2 s late loses nothing", async () => {
  await start();
  network.closeMs = 2_000;
  const clients = await connectClients(5);
  await publish(20);
  for (const client of clients) client.drop();
  await publish(20);
  await expectAll(clients);
});

test("H2: 500 connections that are reset in the middle of a frame leave nothing behind and nothing in the log", async () => {
  await start();
  const logged = relay.lines.length;
  for (let round = 0; round < 5; round++) {
    const raws = await Promise.all(
      Array.from({ length: 100 }, async (_, i) =>
        // Each with a user of its own, because connections of the last round may still be counted.
        RawSocket.upgrade(await relay.register(`reset ${round} ${i}`)),
      ),
    );
    await publish(1);
    for (const raw of raws) {
      raw.fragment(1, '{"topics":["t"');
      raw.write(Uint8Array.of(0x80, 0x85, 0));
      raw.reset();
    }
  }
  const areGone = async () => (await relay.publish("tech", "anybody?")) === 0;
  await until("all connections to be gone", areGone);
  expect(relay.lines.length).toBe(logged);
});

test("H1: connections that a network has forgotten are closed within ping and pong, and their clients reconnect", async () => {
  // The bystander has to answer in time too, however busy the machine is.
  await start({ BATON_PING_MS: "400", BATON_PONG_MS: "4000", BATON_LOG_LEVEL: "debug" });
  const clients = await connectClients(5);
  network.stall();
  const closedForNoPong = () => relay.lines.filter(({ code }) => code === 4012).length;
  // With the ping and pong of the defaults it would take 35 s.
  await until("the relay to close the 5 sockets", () => closedForNoPong() === 5, 20_000);
  await publish(20);
  network.heal();
  network.cutAll();
  await expectAll(clients);
});

test("H4: a proxy that cuts quiet connections cuts none: pings go over sockets and streams", async () => {
  await start({ BATON_PING_MS: "250" });
  network.idleMs = 4_000;
  const clients = await connectClients(5);
  const begun = performance.now();
  await until("5 s to pass", () => performance.now() - begun > 5_000);
  expect(network.cuts).toBe(0);
  await publish(5);
  expect(clients.every(({ connectionsLost }) => connectionsLost === 0)).toBe(true);
  await expectAll(clients);
});
