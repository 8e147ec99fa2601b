// Rows I1 and I14 of the fault catalogue: pages of other origins can neither open a socket nor call a route.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readSettings } from "../../../src/settings/read";
import { handshake, RawSocket } from "../../support/clients/raw-socket";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ BATON_ORIGINS: "https://app.example.com,http://localhost:3000" });
});
afterAll(() => relay[Symbol.asyncDispose]());

async function connectFrom(origin?: string): Promise<number> {
  const raw = await RawSocket.open(relay.port);
  const path = new URL(await relay.register()).pathname;
  raw.write(handshake(path, origin === undefined ? [] : [`Origin: ${origin}`]));
  const head = await raw.until("\r\n\r\n");
  raw.drop();
  return Number(head.slice(9, 12));
}

describe("with a list of origins in BATON_ORIGINS", () => {
  test.each([
    ["https://evil.example"],
    ["null"],
    ["https://app.example.com.evil.example"],
    ["https://evil.example/https://app.example.com"],
    ["https://app.example.com@evil.example"],
    ["http://app.example.com"],
    ["https://app.example.com:8443"],
    ["https://APP.example.com"],
    ["https://app.example.com, https://app.example.com"],
    ["https://app.example.com https://evil.example"],
    ["https://app.example.com."],
    ["https://app.example.com/"],
    ["https://app.example.com:443"],
    ["app.example.com"],
    ["*"],
    [""],
    ["toString"],
  ])("I1: a page of %s cannot open a socket", async (origin) => {
    expect(await connectFrom(origin)).toBe(403);
  });

  test.each([["https://app.example.com"], ["http://localhost:3000"]])(
    "a page of %s can open a socket",
    async (origin) => {
      expect(await connectFrom(origin)).toBe(101);
    },
  );

  test("a client that sends no Origin, unlike a browser, can open a socket", async () => {
    expect(await connectFrom()).toBe(101);
  });

  test("I1: a request with two Origin headers is refused, whichever comes first", async () => {
    const app = "https://app.example.com";
    for (const [first, second] of [
      [app, "https://evil.example"],
      ["https://evil.example", app],
      [app, app],
    ]) {
      expect(await connectFrom(`${first}\r\nOrigin: ${second}`)).toBe(403);
    }
  });

  const body = { method: "POST", body: "{}" };
  const plain = { ...body, headers: { "content-type": "text/plain" } };
  test.each<[string, RequestInit]>([
    // Requests that a page may send without a preflight (simple requests of CORS).
    ["/api/publish", { ...plain, body: '{"channel":"a","data":1}' }],
    ["/api/disconnect", { ...plain, body: '{"user":"1"}' }],
    ["/connection/http_stream", { ...plain, body: '{"id":1,"connect":{}}' }],
    ["/connection/sse", { ...plain, body: '{"id":1,"connect":{}}' }],
    ["/connection/sse?cf_connect=%7B%22id%22%3A1%2C%22connect%22%3A%7B%7D%7D", {}],
    ["/emulation", { ...plain, body: '{"session":"a","node":"b","data":""}' }],
    ["/users/1/connections", {}],
    ["/topics/a/history", {}],
    // Requests with a preflight.
    ["/publish", { method: "OPTIONS" }],
    ["/publish", { ...body, headers: { "content-type": "application/json" } }],
    ["/users/1/connections", { method: "DELETE" }],
    ["/connection/websocket", {}],
    ["/health", {}],
    ["/nothing", {}],
  ])("I1: a page of another origin is refused at %s", async (path, init) => {
    const headers = { ...(init.headers as object), origin: "https://evil.example" };
    const answer = await relay.request(init.method ?? "GET", path, { ...init, headers });
    expect([answer.status, answer.json.error.code]).toEqual([403, "forbidden_origin"]);
    expect(answer.headers.get("access-control-allow-origin")).toBeNull();
  });

  test("I14: no answer allows credentials, and none reflects the request", async () => {
    const asking = {
      origin: "https://app.example.com",
      "access-control-request-method": "PATCH",
      "access-control-request-headers": "x-evil",
    };
    for (const method of ["OPTIONS", "GET"]) {
      const { headers } = await relay.request(method, "/health", { headers: asking });
      expect(headers.get("access-control-allow-origin")).toBe("https://app.example.com");
      expect(headers.get("access-control-allow-credentials")).toBeNull();
      expect([...headers.values()].join()).not.toMatch(/PATCH|x-evil/i);
      expect(headers.get("vary")).toContain("Origin");
    }
  });

  test("CORS headers name the page's origin only if it is in the list", async () => {
    const allowed = async (origin: string) =>
      (await relay.request("GET", "/health", { headers: { origin } })).headers.get(
        "access-control-allow-origin",
      );
    expect(await allowed("https://app.example.com")).toBe("https://app.example.com");
    expect(await allowed("https://evil.example")).toBeNull();
    expect(await allowed("null")).toBeNull();
  });
});

describe("origins of app shells, extensions and pages without an origin", () => {
  const NAMED = [
    "capacitor://localhost",
    "ionic://localhost",
    "tauri://localhost",
    "chrome-extension://abcdefghijklmnop",
    "app://localhost:8080",
    "file://",
    "null",
  ];
  const health = (to: TestRelay, origin: string) =>
    to.request("GET", "/health", { headers: { origin } });

  test("are allowed when they are named, also by CORS, and no others of their scheme", async () => {
    await using shells = await startRelay({ BATON_ORIGINS: NAMED.join(", ") });
    for (const origin of NAMED) {
      const { status, headers } = await health(shells, origin);
      expect([status, headers.get("access-control-allow-origin")]).toEqual([200, origin]);
    }
    const others = [
      "capacitor://localhost.evil.example",
      "capacitor://localhost:81",
      "chrome-extension://ponmlkjihgfedcba",
      "app://localhost",
      "https://nullable.example",
      "file:///etc",
    ];
    for (const origin of others) expect((await health(shells, origin)).status).toBe(403);
  });

  test("are refused when only others are named", async () => {
    for (const origin of NAMED) expect((await health(relay, origin)).status).toBe(403);
  });
});

test("a pattern in BATON_ORIGINS is refused at the start, because it would allow no page", () => {
  for (const origin of ["https://*.example.com", "https://*", "*.example.com", "capacitor://*"]) {
    expect(() => readSettings({ BATON_ORIGINS: origin })).toThrow(
      /BATON_ORIGINS=.* is not allowed/,
    );
  }
});

describe("the origin of BATON_PUBLIC_URL", () => {
  const env = {
    BATON_ORIGINS: "https://app.example.com",
    BATON_PUBLIC_URL: "https://Relay.example.com:443/base",
  };

  test("is allowed although BATON_ORIGINS does not list it", async () => {
    await using own = await startRelay(env);
    const headers = { origin: "https://relay.example.com" };
    const answer = await own.post("/publish", { topic: "a", message: "m" }, headers);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("access-control-allow-origin")).toBe(headers.origin);
  });

  test("I1: is the only one besides the list: an Origin that equals the Host is refused", async () => {
    await using own = await startRelay(env);
    for (const headers of [
      { host: "evil.example", origin: "http://evil.example" },
      { host: "evil.example", origin: "https://evil.example" },
      { host: "relay.example.com", origin: "http://relay.example.com" },
      { host: `127.0.0.1:${own.port}`, origin: own.url },
    ]) {
      expect((await own.request("GET", "/health", { headers })).status).toBe(403);
    }
  });
});

test("I1: with an empty list of origins every page is refused, and backends are served", async () => {
  await using closed = await startRelay({ BATON_ORIGINS: "-" });
  const headers = { origin: closed.url };
  expect((await closed.request("GET", "/health", { headers })).status).toBe(403);
  expect(await closed.publish("tech", "hi")).toBe(0);
});
