// What orchestrators and load balancers ask: whether the process is alive, and whether the relay can serve.
import { describe, expect, test } from "bun:test";
import { Client } from "../../support/clients/client";
import { RawSocket } from "../../support/clients/raw-socket";
import { freePort } from "../../support/machine/free-port";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

const READY = ["/health", "/health/ready"];
const LIVE = "/health/live";
const METHODS = ["GET", "HEAD", "OPTIONS"];

/** The statuses of every form in which load balancers ask for a path. */
async function probe({ port }: TestRelay, path: string): Promise<Record<string, number>> {
  const statuses: Record<string, number> = {};
  for (const method of METHODS) {
    for (const head of [["HTTP/1.1", "Host: 10.0.0.7:8000"], ["HTTP/1.0"]]) {
      statuses[`${method} ${head[0]}`] = await statusOf(port, `${method} ${path} ${head[0]}`, head);
    }
  }
  return statuses;
}

async function statusOf(port: number, line: string, [, ...headers]: string[]): Promise<number> {
  const socket = await RawSocket.open(port);
  socket.write([line, ...headers, "", ""].join("\r\n"));
  const head = await socket.until("\r\n\r\n");
  socket.drop();
  return Number(head.slice(9, 12));
}

/** The statuses of `probe` where every GET and HEAD gets this one; OPTIONS has no body to succeed with. */
const all = (status: number) =>
  Object.fromEntries(
    METHODS.flatMap((method) => {
      const expected = status === 200 && method === "OPTIONS" ? 204 : status;
      return ["HTTP/1.1", "HTTP/1.0"].map((version) => [`${method} ${version}`, expected]);
    }),
  );

test("a relay that serves is ready and alive, also for those without a key", async () => {
  await using relay = await startRelay({ BATON_API_KEYS: "a-key-of-the-backend" });
  for (const path of [...READY, LIVE]) {
    expect(await probe(relay, path)).toEqual(all(200));
    const { status, text, headers } = await relay.request("GET", path);
    expect([status, text, headers.get("content-type")]).toEqual([
      200,
      "ok",
      "text/plain; charset=utf-8",
    ]);
  }
  expect((await relay.request("POST", LIVE)).status).toBe(405);
});

test("a relay that shuts down is not ready, and alive", async () => {
  await using relay = await startRelay();
  relay.running.relay.beginShutdown();
  for (const path of ["/", ...READY]) expect(await probe(relay, path)).toEqual(all(503));
  expect(await probe(relay, LIVE)).toEqual(all(200));
  const { json } = await relay.request("GET", "/health/ready");
  expect(json.error.code).toBe("shutting_down");
});

test("a relay that has announced its shutdown is not ready, and serves", async () => {
  await using relay = await startRelay();
  const { json } = await relay.post("/register", { user_id: 1 });
  relay.running.relay.announceShutdown();
  for (const path of READY) expect(await probe(relay, path)).toEqual(all(503));
  const client = await Client.open(json.url);
  expect((await relay.post("/register", { user_id: 2 })).status).toBe(200);
  await relay.publish("tech", "still served");
  expect(await client.next()).toBe("still served");
  client.drop();
});

test("a relay whose engine is away is not ready, and alive", async () => {
  await using relay = await startRelay({ BATON_ENGINE: `redis://127.0.0.1:${freePort()}` });
  for (const path of READY) expect(await probe(relay, path)).toEqual(all(503));
  expect(await probe(relay, LIVE)).toEqual(all(200));
  const { json } = await relay.request("GET", "/health/ready");
  expect(json.error.code).toBe("engine_unavailable");
});

test("what orchestrators ask is answered also where the address is over its limit", async () => {
  await using relay = await startRelay({ BATON_ADDRESS_REQUESTS_MAX: "1" });
  const statuses = async (path: string) => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => relay.request("GET", path)));
    return new Set(answers.map(({ status }) => status));
  };
  expect(await statuses("/health")).toContain(429);
  expect(await statuses("/health/ready")).toEqual(new Set([200]));
  expect(await statuses("/health/live?verbose")).toEqual(new Set([200]));
  expect(await statuses("/health/lively")).toContain(429);
});

describe("a preflight of a page", () => {
  test("is answered also during a shutdown", async () => {
    await using relay = await startRelay();
    relay.running.relay.beginShutdown();
    const preflight = ["", "Origin: https://a.test", "Access-Control-Request-Method: GET"];
    const head = [...preflight, "Host: relay.test"];
    expect(await statusOf(relay.port, "OPTIONS /health HTTP/1.1", head)).toBe(204);
  });
});
