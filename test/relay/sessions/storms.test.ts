// SDKs that are refused must not come back at once. Version 5.7.4 of the official JavaScript SDK takes each stream that
// begins for a success and forgets its pauses; many applications stay at such a version.
import { afterEach, describe, expect, test } from "bun:test";
import { Centrifuge, type Options } from "centrifuge-older";
import { inSeconds, SECRET, token } from "../../support/centrifuge/sdk";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

const clients: Centrifuge[] = [];
afterEach(() => {
  for (const one of clients.splice(0)) one.disconnect();
});

/** How long a client with its own pauses (0.5 s and more) takes to begin three attempts to connect, in ms. */
async function threeAttempts(relay: TestRelay, options: Partial<Options>): Promise<number> {
  const endpoint = `${relay.url}/connection/http_stream`;
  let attempts = 0;
  const client = new Centrifuge([{ transport: "http_stream", endpoint }], {
    fetch: (...args: Parameters<typeof fetch>) => {
      attempts++;
      return fetch(...args);
    },
    readableStream: ReadableStream,
    emulationEndpoint: `${relay.url}/emulation`,
    ...options,
  });
  clients.push(client);
  let isDisconnected = false;
  client.on("disconnected", () => {
    isDisconnected = true;
  });
  const began = performance.now();
  client.connect();
  // Its pauses are random, and together may be many seconds.
  await until("three attempts", () => attempts === 3 || isDisconnected);
  expect(isDisconnected).toBe(false);
  return performance.now() - began;
}

/** Keys that cannot be fetched. */
const NO_KEYS = { BATON_TOKEN_JWKS_URL: "http://127.0.0.1:1/keys" };

/** A token that names a key of that set. */
const FOREIGN = [{ alg: "RS256", kid: "a" }, { sub: "ann" }, "c2ln"]
  .map((part) =>
    typeof part === "string" ? part : Buffer.from(JSON.stringify(part)).toString("base64url"),
  )
  .join(".");

describe("over http_stream, a client of an older SDK comes back only after pauses", () => {
  test("while tokens cannot be checked", async () => {
    await using relay = await startRelay(NO_KEYS);
    expect(await threeAttempts(relay, { token: FOREIGN })).toBeGreaterThan(450);
  }, 120_000);

  test("while each of its tokens has expired", async () => {
    await using relay = await startRelay({ BATON_TOKEN_SECRET: SECRET });
    const getToken = () => token({ sub: "ann", exp: inSeconds(-60) });
    expect(await threeAttempts(relay, { getToken })).toBeGreaterThan(450);
  }, 120_000);
});

test("while tokens cannot be checked, a stream is refused with 503 and Retry-After, and an EventSource is told when to try again", async () => {
  await using relay = await startRelay(NO_KEYS);
  const connect = `${JSON.stringify({ id: 1, connect: { token: FOREIGN } })}\n`;
  const lines = await fetch(`${relay.url}/connection/http_stream`, {
    method: "POST",
    body: connect,
  });
  expect([lines.status, lines.headers.get("retry-after")]).toEqual([503, "5"]);
  expect(await lines.json()).toMatchObject({ error: { code: "keys_unavailable" } });
  const address = `${relay.url}/connection/sse?cf_connect=${encodeURIComponent(connect)}`;
  const events = await fetch(address, { headers: { accept: "text/event-stream" } });
  expect([events.status, await events.text()]).toEqual([
    200,
    expect.stringMatching(/^retry: \d+\n\n$/),
  ]);
  expect(relay.running.relay.connections.open).toBe(0);
});

test("a client that is gone before its token was checked leaves no connection", async () => {
  let asked = () => {};
  const waiting = new Promise<void>((resolve) => (asked = resolve));
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  using keys = Bun.serve({
    port: 0,
    async fetch() {
      asked();
      await released;
      return Response.json({ keys: [] });
    },
  });
  await using relay = await startRelay({
    BATON_TOKEN_JWKS_URL: `http://127.0.0.1:${keys.port}/keys`,
    BATON_ANONYMOUS: "1",
  });
  const body = `${JSON.stringify({ id: 1, connect: { token: FOREIGN } })}\n`;
  const leaving = new AbortController();
  const { signal } = leaving;
  const answer = fetch(`${relay.url}/connection/http_stream`, { method: "POST", body, signal });
  await waiting;
  leaving.abort();
  await expect(answer).rejects.toThrow();
  release();
  await until("no connection to be open", () => relay.running.relay.connections.open === 0);
});
