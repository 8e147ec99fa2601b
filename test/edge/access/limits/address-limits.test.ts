// The limits of each address, over HTTP and on every kind of connection.
import { expect, test } from "bun:test";
import { Client } from "../../../support/clients/client";
import { EventStream } from "../../../support/clients/event-stream";
import { RawSocket } from "../../../support/clients/raw-socket";
import { Scrape } from "../../../support/metrics/scrape";
import { startRelay, type TestRelay } from "../../../support/relay/test-relay";
import { until } from "../../../support/wait";

const BEHIND_PROXY = { BATON_TRUSTED_PROXIES: "127.0.0.1" };

const from = (address: string) => ({ "x-forwarded-for": address });

/** The first line and the body that a handshake at this address is answered with. */
async function handshake(url: string, address: string): Promise<string> {
  try {
    await RawSocket.upgrade(url, [`X-Forwarded-For: ${address}`]);
    return "HTTP/1.1 101";
  } catch (error) {
    return String(error);
  }
}

const sessions = (relay: TestRelay) => `${relay.url.replace("http", "ws")}/connection/websocket`;

const refusals = async (relay: TestRelay, code: string): Promise<number> =>
  (await Scrape.of(`${relay.url}/metrics`)).value(`baton_refusals_total{code="${code}"}`);

test("an address that sends too many requests gets 429 and when to try again, and others are served", async () => {
  await using relay = await startRelay({ ...BEHIND_PROXY, BATON_ADDRESS_REQUESTS_MAX: "20" });
  const ask = (address: string) => relay.request("GET", "/health", { headers: from(address) });
  const answers = await Promise.all(Array.from({ length: 200 }, () => ask("198.51.100.1")));
  const refused = answers.filter(({ status }) => status === 429);
  expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(20);
  expect(refused.length).toBeGreaterThan(0);
  expect(refused[0]?.json.error.code).toBe("too_many_requests");
  expect(refused[0]?.headers.get("retry-after")).toBe("1");
  expect((await ask("198.51.100.2")).status).toBe(200);
  expect(await refusals(relay, "too_many_requests")).toBeGreaterThanOrEqual(refused.length);
  const [line = ""] = relay.log.filter((text) => text.includes("an address is over a limit"));
  expect(JSON.parse(line)).toMatchObject({ address: "198.51.100.1", code: "too_many_requests" });
});

test("requests with an API key do not count for their address, but those with a wrong one do", async () => {
  const key = "a key of sixteen";
  await using relay = await startRelay({
    BATON_API_KEYS: key.replaceAll(" ", "-"),
    BATON_ADDRESS_REQUESTS_MAX: "10",
  });
  const publish = (given: string) =>
    relay.post("/publish", { topic: "tech", message: "m" }, { "x-api-key": given });
  const statuses = async (given: string) => {
    const answers = await Promise.all(Array.from({ length: 100 }, () => publish(given)));
    return new Set(answers.map(({ status }) => status));
  };
  expect(await statuses(key.replaceAll(" ", "-"))).toEqual(new Set([200]));
  expect(await statuses("wrong")).toEqual(new Set([401, 429]));
});

test("where no API key is set, a request with one counts for its address all the same", async () => {
  await using relay = await startRelay({ BATON_ADDRESS_REQUESTS_MAX: "10" });
  const headers = { "x-api-key": "a-key-of-nobody-else" };
  const ask = () => relay.request("GET", "/health", { headers });
  const answers = await Promise.all(Array.from({ length: 100 }, ask));
  expect(answers.map(({ status }) => status)).toContain(429);
});

test("an EventSource whose request is over the limit is told to reconnect, also one of another origin", async () => {
  await using relay = await startRelay({ BATON_ADDRESS_REQUESTS_MAX: "1" });
  const ask = (headers: Record<string, string>) =>
    fetch(`${relay.url}/sse/${"0".repeat(32)}`, { headers });
  const headers = { accept: "text/event-stream", origin: "https://page.example.com" };
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(headers)));
  const told = answers.find(({ status }) => status === 200);
  expect(await told?.text()).toMatch(/^retry: \d{4}\n\n$/);
  expect(told?.headers.get("access-control-allow-origin")).toBe("https://page.example.com");
  const plain = await Promise.all(Array.from({ length: 20 }, () => ask({})));
  expect(plain.map(({ status }) => status)).toContain(429);
});

test("an address that tries to connect too often gets 429, whatever would become of the attempts", async () => {
  await using relay = await startRelay({ ...BEHIND_PROXY, BATON_ADDRESS_ATTEMPTS_MAX: "5" });
  const unknown = `${relay.url.replace("http", "ws")}/ws/${"0".repeat(32)}`;
  for (const url of [sessions(relay), unknown, `${unknown}?format=json&heartbeat=10`]) {
    const address = `198.51.100.${url.length}`;
    const answers = await Promise.all(Array.from({ length: 50 }, () => handshake(url, address)));
    const refused = answers.filter((answer) => answer.includes("HTTP/1.1 429"));
    expect([url, refused.length > 0]).toEqual([url, true]);
    expect(refused[0]).toContain("retry-after: 1\r\n");
    expect(await handshake(url, "198.51.100.200")).not.toContain("HTTP/1.1 429");
  }
  const body = '{"id":1,"connect":{}}';
  const stream = { method: "POST", body, headers: from("203.0.113.1") };
  const streams = await Promise.all(
    Array.from({ length: 50 }, () => fetch(`${relay.url}/connection/http_stream`, stream)),
  );
  expect(new Set(streams.map(({ status }) => status))).toEqual(new Set([200, 429]));
  expect(await refusals(relay, "too_many_attempts")).toBeGreaterThan(3);
});

test("an address has so many connections of all kinds, and one more when one of them has closed", async () => {
  await using relay = await startRelay({ ...BEHIND_PROXY, BATON_ADDRESS_CONNECTIONS_MAX: "3" });
  const headers = from("198.51.100.1");
  const socket = await Client.open(await relay.register(), { headers });
  const { sse } = await relay.registration();
  const stream = await EventStream.open(sse, { headers });
  const session = await Client.open(sessions(relay), { headers });

  const { url, sse: next } = await relay.registration();
  expect(await handshake(url, "198.51.100.1")).toContain("HTTP/1.1 429");
  expect(await handshake(sessions(relay), "198.51.100.1")).toContain("HTTP/1.1 429");
  const refused = await relay.request("GET", new URL(next).pathname, { headers });
  expect([refused.status, refused.json.error.code]).toEqual([429, "too_many_address_connections"]);
  // An EventSource would give up for good at that.
  const told = await EventStream.open(next, { headers });
  expect(await told.closed).toBe("ended");
  expect(told.retries).toHaveLength(1);
  expect(await handshake(url, "198.51.100.2")).toContain("HTTP/1.1 101");
  expect(await refusals(relay, "too_many_address_connections")).toBe(4);

  for (const close of [() => socket.close(), () => stream.close(), () => session.close()]) {
    await close();
    const another = await relay.register();
    await until("room for another connection", async () =>
      (await handshake(another, "198.51.100.1")).includes("HTTP/1.1 101"),
    );
  }
  expect(await handshake(await relay.register(), "198.51.100.1")).toContain("HTTP/1.1 429");
});

test("a client that replaces its own connection takes no second place of its address", async () => {
  await using relay = await startRelay({ BATON_ADDRESS_CONNECTIONS_MAX: "1" });
  const url = await relay.register();
  const first = await Client.open(`${url}?format=json`);
  const second = await Client.open(`${url}?format=json`);
  expect((await first.closed).code).toBe(4001);
  await second.close();
  await until("nothing to be open", () => relay.counts.connections === 0);
  await Client.open(await relay.register());
});

test("what could not be opened leaves no place taken", async () => {
  await using relay = await startRelay({ BATON_ADDRESS_CONNECTIONS_MAX: "1" });
  const url = await relay.register();
  for (let i = 0; i < 20; i++) {
    const raw = await RawSocket.open(relay.port);
    raw.write(
      `GET ${new URL(url).pathname} HTTP/1.1\r\nHost: a.b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n`,
    );
    expect(await raw.until("\r\n\r\n")).toContain("HTTP/1.1 400");
  }
  await Client.open(url);
});

test("the log says from which address a connection was, as its proxy says", async () => {
  await using relay = await startRelay(BEHIND_PROXY);
  const client = await Client.open(await relay.register(), { headers: from("198.51.100.7") });
  await client.close();
  const closed = () => relay.log.find((line) => line.includes("connection closed"));
  await until("the line", () => closed() !== undefined);
  expect(JSON.parse(closed() ?? "")).toMatchObject({ address: "198.51.100.7" });
});
