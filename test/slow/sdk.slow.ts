// The official Centrifuge SDKs, as they come from their registries, over a network that cuts, and beside all other
// kinds of clients.
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Centrifuge } from "centrifuge";
import { EventSource } from "eventsource";
import { Client } from "../support/client";
import { RelayProcess } from "../support/process";
import { TcpProxy } from "../support/proxy";
import { PythonProgram } from "../support/python";
import { startRelay } from "../support/relay";
import { until } from "../support/wait";

const LONG_MS = 60_000;
const TOPIC = "news";
const CLIENTS = join(import.meta.dir, "../python/clients.py");

type Transport = "websocket" | "http_stream" | "sse";

/** What a client got, and what it was told. */
class Record {
  readonly got: unknown[] = [];
  subscribed = 0;
  lost = 0;
}

const ENDPOINTS: { readonly [transport in Transport]: string } = {
  websocket: "/connection/websocket",
  http_stream: "/connection/http_stream",
  sse: "/connection/sse",
};

/** A client of the JavaScript SDK over this transport. */
function javascript(url: string, transport: Transport, record: Record): Centrifuge {
  const scheme = transport === "websocket" ? "ws" : "http";
  const endpoint = url.replace(/^http/, scheme) + ENDPOINTS[transport];
  const client = new Centrifuge([{ transport, endpoint }], {
    websocket: WebSocket,
    fetch,
    readableStream: ReadableStream,
    eventsource: EventSource,
    emulationEndpoint: `${url}/emulation`,
    minReconnectDelay: 20,
    maxReconnectDelay: 200,
  });
  const subscription = client.newSubscription(TOPIC);
  subscription.on("publication", ({ data }) => record.got.push(data));
  subscription.on("subscribed", ({ wasRecovering, recovered }) => {
    record.subscribed++;
    if (wasRecovering && !recovered) record.lost++;
  });
  subscription.subscribe();
  client.connect();
  return client;
}

/** So many clients of the Python SDK, in one process. */
async function python(url: string, count: number) {
  const records = Array.from({ length: count }, () => new Record());
  const args = [CLIENTS, `${url.replace(/^http/, "ws")}${ENDPOINTS.websocket}`, TOPIC, `${count}`];
  const program = await PythonProgram.start(args, (line) => {
    const told = JSON.parse(line);
    const record = records[told.client] as Record;
    if ("data" in told) record.got.push(told.data);
    else {
      record.subscribed++;
      if (told.lost) record.lost++;
    }
  });
  return { records, program };
}

describe("40 SDK clients behind a proxy that cuts", () => {
  const numbers = Array.from({ length: 1_500 }, (_, i) => i);

  const over = async (
    connect: (url: string) => Promise<{ records: Record[]; stop: () => unknown }>,
  ) => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "300" });
    await using network = await TcpProxy.start(relay.url);
    const { records, stop } = await connect(network.through(relay.url));
    try {
      await until(
        "all to be subscribed",
        () => records.every(({ subscribed }) => subscribed > 0),
        LONG_MS,
      );
      network.cutEach(100, 3_000);
      for (const n of numbers) {
        const answer = await relay.post("/publish", { topic: TOPIC, data: n });
        expect(answer.status).toBe(200);
        // Slowly enough that cuts fall among them, and that no more are missed at once than are kept.
        if (n % 3 === 0) await Bun.sleep(20);
      }
      network.keepAll();
      await until(
        "all to have all",
        () => records.every(({ got }) => got.length >= numbers.length),
        LONG_MS,
      ).catch(() => {});
      for (const { got, lost } of records) {
        expect(lost).toBe(0);
        expect(got).toEqual(numbers);
      }
      expect(network.cuts).toBeGreaterThan(100);
    } finally {
      await stop();
    }
  };

  test(
    "of JavaScript, over WebSocket and HTTP, see every one of 1,500 messages once and in order",
    () =>
      over(async (url) => {
        const records = Array.from({ length: 40 }, () => new Record());
        const clients = records.map((record, i) =>
          javascript(url, i % 4 === 3 ? "http_stream" : "websocket", record),
        );
        return { records, stop: () => clients.forEach((client) => void client.disconnect()) };
      }),
    180_000,
  );

  test(
    "of Python see every one of 1,500 messages once and in order",
    () =>
      over(async (url) => {
        const { records, program } = await python(url, 40);
        return { records, stop: () => program[Symbol.asyncDispose]() };
      }),
    180_000,
  );
});

test("a message that is published once arrives at every kind of client once", async () => {
  const folder = mkdtempSync(join(tmpdir(), "baton-"));
  await Bun.write(join(folder, "topics.json"), '{"news": {"presence": true}}');
  await using relay = await startRelay({ BATON_TOPICS_FILE: join(folder, "topics.json") });
  const plain = await relay.connect(1, [TOPIC]);
  const enveloped = await Client.open(`${await relay.register(2)}?format=json`);
  enveloped.send({ topics: [TOPIC] });
  await enveloped.next();
  const { sse } = (await relay.post("/register", { user_id: 3, topics: [TOPIC] })).json;
  const events: string[] = [];
  const stream = new EventSource(sse);
  stream.addEventListener(TOPIC, ({ data }) => events.push(data));
  const transports: Transport[] = ["websocket", "http_stream", "sse"];
  const records = transports.map(() => new Record());
  const clients = transports.map((transport, i) =>
    javascript(relay.url, transport, records[i] as Record),
  );
  await using of = await (async () => {
    const { records: own, program } = await python(relay.url, 1);
    records.push(own[0] as Record);
    return program;
  })();
  const count = async () =>
    (await relay.post("/api/presence_stats", { channel: TOPIC })).json.result.num_clients;
  await until("all seven to be there", async () => (await count()) === 7, LONG_MS);

  const { json } = await relay.post("/publish", { topic: TOPIC, data: { n: 1.5 } });
  expect(json.delivered).toBe(7);
  await relay.post("/publish", { topic: TOPIC, data: "end" });
  expect(await plain.take(2)).toEqual(['{"n":1.5}', "end"]);
  const frames = (await enveloped.take(2)).map((frame) => JSON.parse(frame).data);
  expect(frames).toEqual([{ n: 1.5 }, "end"]);
  await until("the event stream", () => events.length === 2, LONG_MS);
  expect(events).toEqual(['{"n":1.5}', "end"]);
  for (const record of records) {
    await until("an SDK", () => record.got.length === 2, LONG_MS);
    expect(record.got).toEqual([{ n: 1.5 }, "end"]);
  }
  for (const client of clients) client.disconnect();
  stream.close();
  enveloped.drop();
  expect(of).toBeDefined();
  rmSync(folder, { recursive: true });
}, 60_000);

test("the Python client that the README shows prints what is published", async () => {
  const readme = await Bun.file(join(import.meta.dir, "../../README.md")).text();
  const code = /```python\n(import asyncio[\s\S]*?)```/.exec(readme)?.[1] ?? "";
  const lines: string[] = [];
  await using relay = await startRelay();
  const url = `${relay.url.replace("http", "ws")}/connection/websocket`;
  await using program = await PythonProgram.start(["-c", code, url], (line) => lines.push(line));
  await until("it to be subscribed", async () => (await relay.publish(TOPIC, "hi")) === 1, LONG_MS);
  await until("it to print", () => lines.length > 0, LONG_MS);
  expect(lines[0]).toBe("news: hi");
  expect(program).toBeDefined();
}, 60_000);
