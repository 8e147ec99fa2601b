// A refusal that will pass, as an EventSource is answered: any status but 200 would be final for it.
import { describe, expect, test } from "bun:test";
import { ReconnectAnswers } from "../../../src/edge/transports/reconnect-answers";
import { createLog } from "../../../src/log";
import { EngineUnavailable } from "../../../src/relay/contracts/engine";
import { Refusal } from "../../../src/relay/contracts/errors";
import { EventStream } from "../../support/clients/event-stream";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

const CONNECT = encodeURIComponent('{"id":1,"connect":{}}');

async function register(relay: TestRelay): Promise<string> {
  return (await relay.post("/register", { user_id: 1 })).json.sse;
}

const sessionUrl = (relay: TestRelay) => `${relay.url}/connection/sse?cf_connect=${CONNECT}`;

/** Makes a relay refuse with a code, and says for which of the routes it does. */
const PASSING: [code: string, routes: readonly string[], prepare: (relay: TestRelay) => unknown][] =
  [
    ["shutting_down", ["sse", "session"], ({ running }) => running.relay.beginShutdown()],
    [
      "too_many_connections",
      ["sse", "session"],
      async (relay) => EventStream.open(await register(relay)),
    ],
    [
      "too_many_user_connections",
      ["sse"],
      async (relay) => EventStream.open(await register(relay)),
    ],
    [
      // The engine does not answer, before the relay knows that it is away.
      "engine_unavailable",
      ["sse"],
      ({ running }) => {
        running.relay.admission.admit = () => Promise.reject(new EngineUnavailable("away"));
      },
    ],
    [
      "internal",
      ["sse", "session"],
      ({ running }) => {
        const fail = () => {
          throw new Error("a fault");
        };
        running.relay.admission.admit = fail;
        running.relay.admission.admitSession = fail;
      },
    ],
  ];

/** The settings with which a second stream of the same user is refused with this code. */
const settingsFor = (code: string) => ({
  ...(code === "too_many_connections" && { BATON_CONNECTIONS_MAX: "1" }),
  ...(code === "too_many_user_connections" && { BATON_USER_CONNECTIONS_MAX: "1" }),
});

describe("a refusal that will pass is not final for an EventSource", () => {
  test.concurrent.each(PASSING)("%s", async (code, routes, prepare) => {
    await using relay = await startRelay(settingsFor(code));
    const urls = { sse: await register(relay), session: sessionUrl(relay) };
    await prepare(relay);
    for (const [name, url] of Object.entries(urls)) {
      if (!routes.includes(name)) continue;
      const response = await fetch(url, {
        headers: { accept: "text/event-stream", origin: "https://page.example.com" },
      });
      expect([name, response.status]).toEqual([name, 200]);
      expect(response.headers.get("cache-control")).toBe("no-store, no-transform");
      expect(response.headers.get("access-control-allow-origin")).toBe("*");
      expect(await response.text()).toMatch(/^retry: \d{4}\n\n$/);
      // Other clients receive the reason.
      const plain = await fetch(url);
      expect([name, plain.status >= 429]).toEqual([name, true]);
      expect((await plain.json()) as object).toMatchObject({ error: { code } });
    }
  });

  test.concurrent("a client that ignores the retry time reconnects at most once a second", async () => {
    await using relay = await startRelay();
    const url = await register(relay);
    relay.running.relay.beginShutdown();
    const begun = performance.now();
    const stream = await EventStream.open(url);
    const openedAt = performance.now();
    const [retry = 0] = stream.retries;
    expect(retry).toBeWithin(1_000, 2_001);
    expect(await stream.closed).toBe("ended");
    expect(performance.now() - begun).toBeGreaterThan(retry - 50);
    // It has the retry time at once, and not only when it ends.
    expect(performance.now() - openedAt).toBeGreaterThan(retry / 2);
    expect([stream.rest(), stream.lastEventId]).toEqual([[], ""]);
  });

  test("streams that answer a refusal are bounded in number, and end with the process", async () => {
    const answers = new ReconnectAnswers({ room: () => 1, count() {} }, {}, createLog("silent"));
    const headers = { accept: "text/event-stream" };
    const answer = () =>
      answers.orLater(
        new Request("http://127.0.0.1/sse/any", { headers }),
        () => new Refusal("shutting_down", "The relay shuts down."),
      ) as Promise<Response>;
    const all = await Promise.all(Array.from({ length: 100 }, answer));
    const ended: number[] = [];
    const texts = all.map(async (response, i) => {
      const text = await response.text();
      ended.push(i);
      return text;
    });
    await until("those over the bound to end", () => ended.length >= 36);
    const over = ended.slice(0, 36).toSorted((one, other) => one - other);
    expect(over).toEqual(Array.from({ length: 36 }, (_, i) => 64 + i));
    answers.end();
    await until("the others to end", () => ended.length === 100);
    expect((await Promise.all(texts)).every((text) => /^retry: \d{4}\n\n$/.test(text))).toBe(true);
    expect(await (await answer()).text()).toMatch(/^retry: \d{4}\n\n$/);
  });

  test.concurrent("a shutdown ends the streams that answer a refusal", async () => {
    const relay = await startRelay({ BATON_SHUTDOWN_MS: "10" });
    const url = await register(relay);
    relay.running.relay.beginShutdown();
    const stream = await EventStream.open(url);
    await relay.running.shutdown();
    expect(await stream.closed).toBe("ended");
  });
});

test("a refusal that is final stays final for an EventSource", async () => {
  await using relay = await startRelay();
  const url = await register(relay);
  const accept = { accept: "text/event-stream" };
  const answers: [string, number][] = [
    [`${relay.url}/sse/${"0".repeat(32)}`, 404],
    [`${url}?format=xml`, 422],
    [`${relay.url}/connection/sse`, 400],
  ];
  for (const [address, status] of answers) {
    const response = await fetch(address, { headers: accept });
    expect([address, response.status]).toEqual([address, status]);
  }
  relay.running.relay.beginShutdown();
  const health = await fetch(`${relay.url}/health`, { headers: accept });
  expect(health.status).toBe(503);
  const head = await fetch(url, { method: "HEAD", headers: accept });
  expect(head.status).toBe(503);
});
