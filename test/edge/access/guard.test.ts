// HTTP that no library would send, as raw bytes. Rows A5 to A9 and A20 of the fault catalogue.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { RawSocket } from "../../support/clients/raw-socket";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ BATON_API_KEYS: "correct-horse-battery" });
});
afterAll(async () => {
  expect((await relay.request("GET", "/health")).status).toBe(200);
  await relay[Symbol.asyncDispose]();
});

/** The head of the first answer to these bytes. */
async function answerTo(...lines: string[]): Promise<string> {
  const raw = await RawSocket.open(relay.port);
  raw.write(lines.join("\r\n"));
  const head = await raw.until("\r\n\r\n").catch(() => raw.received);
  raw.drop();
  return head;
}

const UPGRADE = [
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Version: 13",
];

/** The address for the socket of a new registration. */
async function registered(): Promise<string> {
  const key = { "x-api-key": "correct-horse-battery" };
  return (await relay.post("/register", { user_id: 1 }, key)).json.url;
}

const status = (head: string): number => Number(head.slice(9, 12));

describe("the Host header", () => {
  test.each([["a/b"], ["a b"], ["user@host.test"], ["host.test:port"]])(
    "%p is refused, because it could steer the router",
    async (host) => {
      expect(status(await answerTo("GET /xx/health HTTP/1.1", `Host: ${host}`, "", ""))).toBe(400);
    },
  );

  test("is refused when it is given twice", async () => {
    const head = await answerTo("GET /health HTTP/1.1", "Host: one.test", "Host: two.test", "", "");
    expect(status(head)).toBe(400);
  });

  test.each([["relay.test"], ["relay.test:8000"], ["127.0.0.1:8000"], ["[::1]:8000"], ["a:8000"]])(
    "%p is accepted",
    async (host) => {
      expect(status(await answerTo("GET /health HTTP/1.1", `Host: ${host}`, "", ""))).toBe(200);
    },
  );
});

/** Hosts that are valid in HTTP but not in the URL standard, which takes a last number for an address. */
const ODD_HOSTS = [
  ["HTTP/1.1", "Host: 1.2.3.4.5"],
  ["HTTP/1.1", "Host: 256.256.256.256"],
  ["HTTP/1.1", "Host: relay.test:99999"],
  ["HTTP/1.1", "Host: xn--"],
] as const;

/** Hosts that leave the path before the 12th character of the URL, and none at all, which HTTP/1.0 allows. */
const SHORT_HOSTS = [
  ["HTTP/1.1", "Host: a"],
  ["HTTP/1.1", "Host: ws"],
  ["HTTP/1.1", "Host: web"],
  ["HTTP/1.1", "Host: a.b"],
  ["HTTP/1.1", "Host: web:80"],
  ["HTTP/1.1", "Host: web:"],
  ["HTTP/1.1", "Host:"],
  ["HTTP/1.0", "Host: ws"],
  ["HTTP/1.0", "X-No: host"],
] as const;

describe.each([...SHORT_HOSTS, ...ODD_HOSTS])(
  "a request by %s with the header %p",
  (version, host) => {
    const KEY = "X-API-Key: correct-horse-battery";
    const post = (path: string, body: string, ...lines: string[]) =>
      answerTo(
        `POST ${path} ${version}`,
        host,
        "Content-Type: application/json",
        `Content-Length: ${body.length}`,
        ...lines,
        "",
        body,
      );

    test.each([
      ["GET", "/health", 200],
      ["HEAD", "/health", 200],
      ["OPTIONS", "/health", 204],
      ["GET", "/topics/tech/history?limit=1", 200],
      ["GET", "/topics/a%2Fb/history", 200],
      ["GET", "/users/1/connections", 200],
      ["GET", "/openapi/json", 200],
      ["GET", "/sse/unknown?topics=a", 404],
      ["DELETE", "/register/unknown", 404],
      ["GET", "/ws/unknown", 404],
      ["GET", "/connection/websocket", 426],
      ["GET", "/connection/sse", 400],
      ["GET", "/nothing", 404],
      ["PUT", "/publish", 405],
    ])("is served at its path: %s %s", async (method, path, want) => {
      const upgrade = path.startsWith("/ws/") ? UPGRADE : [];
      const head = await answerTo(`${method} ${path} ${version}`, host, KEY, ...upgrade, "", "");
      expect(status(head)).toBe(want);
    });

    test("is served where it has a body", async () => {
      const publication = '{"topic":"a","message":"m"}';
      expect(status(await post("/publish", publication, KEY))).toBe(200);
      expect(status(await post("/publish", publication, KEY, "Origin: https://a.test"))).toBe(200);
      expect(status(await post("/register", '{"user_id":1}', KEY))).toBe(200);
      expect(status(await post("/api/info", "{}", KEY))).toBe(200);
    });

    test("can become a socket", async () => {
      const path = new URL(await registered()).pathname;
      const upgrade = [host, ...UPGRADE, "", ""];
      expect(status(await answerTo(`GET ${path} ${version}`, ...upgrade))).toBe(101);
      const session = await answerTo(`GET /connection/websocket ${version}`, ...upgrade);
      expect(status(session)).toBe(101);
    });

    test("cannot shift its path, however long the part before it is", async () => {
      for (let length = 1; length <= 14; length++) {
        const head = `GET /${"x".repeat(length)}/health ${version}`;
        expect(status(await answerTo(head, host, "", ""))).toBe(404);
        const path = `/${"x".repeat(length)}/publish`;
        expect(status(await post(path, '{"topic":"a","message":"m"}', KEY))).toBe(404);
      }
    });

    test.each([["/publish"], ["//publish"], ["/x/../publish"], ["/./publish"], ["/publish?x"]])(
      "cannot publish at %s without the key",
      async (path) => {
        const head = await post(path, '{"topic":"a","message":"m"}');
        expect([401, 404]).toContain(status(head));
      },
    );
  },
);

describe("I11: no spelling of the path /publish bypasses the API key", () => {
  test.each([
    ["/publish"],
    ["/publish/"],
    ["//publish"],
    ["/./publish"],
    ["/x/../publish"],
    ["/publish?x=1"],
    ["/publish;x"],
    ["/%70ublish"],
    ["/publish%2f"],
    ["/publish%00"],
    ["http://127.0.0.1:8000/publish"],
  ])("POST %s is refused", async (path) => {
    const body = '{"topic":"a","message":"m"}';
    const head = await answerTo(
      `POST ${path} HTTP/1.1`,
      "Host: 127.0.0.1:8000",
      "Content-Type: application/json",
      `Content-Length: ${body.length}`,
      "",
      body,
    );
    expect([400, 401, 404]).toContain(status(head));
  });
});

describe("an ambiguous request is refused, and nothing that follows it is run", () => {
  const smuggled = ["GET /health HTTP/1.1", "Host: 127.0.0.1:8000", "", ""].join("\r\n");

  test.each([
    [
      "a Content-Length with chunked encoding",
      ["Content-Length: 4", "Transfer-Encoding: chunked"],
      "0\r\n\r\n",
    ],
    ["two different lengths", ["Content-Length: 4", "Content-Length: 5"], "aaaa"],
    ["a negative length", ["Content-Length: -1"], ""],
    ["a length that is not a number", ["Content-Length: 4x"], "aaaa"],
    ["a header folded over two lines", ["X-A: 1", " folded"], ""],
    ["a NUL in a header", ["X-A: \u0000"], ""],
    ["a space before the colon", ["Content-Length : 4"], "aaaa"],
  ])("%s", async (_, headers, body) => {
    const raw = await RawSocket.open(relay.port);
    const head = ["POST /publish HTTP/1.1", "Host: 127.0.0.1:8000", ...headers, "", body];
    raw.write(head.join("\r\n") + smuggled);
    const text = await raw.until("\r\n\r\n").catch(() => raw.received);
    raw.drop();
    expect(text).not.toContain("200 OK");
    expect(text === "" || status(text) >= 400).toBe(true);
  });

  test("a broken chunk ends the connection, and nothing that follows it is run", async () => {
    const raw = await RawSocket.open(relay.port);
    raw.write(
      "POST /publish HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nX-API-Key: correct-horse-battery\r\n",
    );
    raw.write("Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    raw.write(smuggled);
    const text = await raw.untilClosed();
    expect(text).not.toContain("200 OK");
  });
});

test.each([
  ["a header of 20 KB", `X-Long: ${"x".repeat(20_000)}`],
  ["300 headers", Array.from({ length: 300 }, (_, i) => `X-${i}: 1`).join("\r\n")],
])("a request with %s is refused with 431", async (_, header) => {
  expect(status(await answerTo("GET /health HTTP/1.1", "Host: 127.0.0.1", header, "", ""))).toBe(
    431,
  );
});

test.each([
  ["GET", "/topics/%/history"],
  ["GET", "/topics/%zz/history"],
  ["GET", "/topics/%ff/history"],
  ["GET", "/topics/%ed%a0%80/history"],
  ["DELETE", "/register/%ff"],
  ["GET", "/sse/%c0%80"],
  ["GET", "/ws/%"],
])("%s %s is refused, because it is not percent-encoded UTF-8", async (method, path) => {
  const head = await answerTo(`${method} ${path} HTTP/1.1`, "Host: relay.test", "", "");
  expect(status(head)).toBe(400);
});

test("100 pipelined requests get 100 answers in order, even after an error", async () => {
  const raw = await RawSocket.open(relay.port);
  const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n`;
  raw.write((request("/nope") + request("/health")).repeat(50));
  for (let i = 0; i < 100; i++) {
    const head = await raw.until("\r\n\r\n");
    expect(status(head)).toBe(i % 2 === 0 ? 404 : 200);
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1]);
    await raw.until(i % 2 === 0 ? "}}" : "ok");
    expect(length).toBeGreaterThan(0);
  }
  raw.drop();
});
