// The base API over HTTP, its errors, and CORS. Rows A1 to A14 of the fault catalogue that HTTP clients can send.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { RawSocket } from "../../support/clients/raw-socket";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ BATON_MESSAGE_BYTES: "1000", BATON_BODY_BYTES: "8000" });
});
afterAll(() => relay[Symbol.asyncDispose]());

describe("GET /health", () => {
  test("answers ok as text", async () => {
    const { status, text, headers } = await relay.request("GET", "/health");
    expect([status, text]).toEqual([200, "ok"]);
    expect(headers.get("content-type")).toStartWith("text/plain");
  });

  test("answers HEAD too", async () => {
    expect((await relay.request("HEAD", "/health")).status).toBe(200);
  });
});

describe("POST /register", () => {
  test("returns the address of a socket on the host of the request", async () => {
    const { status, json } = await relay.post("/register", { user_id: 1 });
    expect(status).toBe(200);
    expect(json.url).toMatch(new RegExp(`^ws://127\\.0\\.0\\.1:${relay.port}/ws/[0-9a-f]{32}$`));
    const named = await relay.post("/register", { user_id: 1 }, { host: "relay.test:81" });
    expect(named.json.url).toStartWith("ws://relay.test:81/ws/");
  });

  test("H5: ignores the headers that proxies set, and does not log them", async () => {
    const forged = {
      "x-forwarded-for": "203.0.113.7",
      "x-forwarded-host": "evil.example",
      "x-forwarded-proto": "https",
      "x-forwarded-port": "81",
      "x-real-ip": "203.0.113.7",
      forwarded: "for=203.0.113.7;host=evil.example;proto=https",
    };
    const { status, json } = await relay.post("/register", { user_id: "h5" }, forged);
    expect(status).toBe(200);
    expect(json.url).toStartWith(`ws://127.0.0.1:${relay.port}/ws/`);
    expect(json.sse).toStartWith(`http://127.0.0.1:${relay.port}/sse/`);
    const client = await relay.open(json.url);
    const listed = await relay.request("GET", "/users/h5/connections", { headers: forged });
    expect(listed.json.connections).toHaveLength(1);
    client.drop();
    expect(listed.text + relay.log.join("")).not.toMatch(/203\.0\.113\.7|evil\.example/);
  });

  test("returns the address of the relay to a request without a Host, or with an empty one", async () => {
    for (const [version, host] of [
      ["1.0", "X-No: host"],
      ["1.1", "Host:"],
    ]) {
      const answer = await rawPost(relay, `POST /register HTTP/${version}`, host as string);
      expect(answer).toContain(`"url":"ws://127.0.0.1:${relay.port}/ws/`);
      expect(answer).toContain(`"sse":"http://127.0.0.1:${relay.port}/sse/`);
    }
  });

  test("returns the address in BATON_PUBLIC_URL, whatever the Host is", async () => {
    await using behind = await startRelay({ BATON_PUBLIC_URL: "https://relay.example.com/r" });
    for (const [version, host] of [
      ["1.0", "X-No: host"],
      ["1.1", "Host: ws"],
      ["1.1", "Host: other.test"],
    ]) {
      const answer = await rawPost(behind, `POST /register HTTP/${version}`, host as string);
      expect(answer).toContain('"url":"wss://relay.example.com/r/ws/');
    }
  });

  test("returns a different id each time", async () => {
    const urls = await Promise.all(Array.from({ length: 50 }, () => relay.register()));
    expect(new Set(urls).size).toBe(50);
  });

  test.each([
    [0],
    [1],
    ["1"],
    [Number.MAX_SAFE_INTEGER],
    ["__proto__"],
    ["a b"],
    [" "],
    ["9007199254740993"],
    ["😀".repeat(128)],
  ])("accepts the user %p", async (user_id) => {
    expect((await relay.post("/register", { user_id })).status).toBe(200);
  });

  test.each([
    [""],
    [-1],
    [1.5],
    [2 ** 53],
    [null],
    [true],
    [[1]],
    [{}],
    ["a".repeat(129)],
    ["\ud800"],
    ["a\u0000b"],
    ["a\r\nb"],
    ["\u007f"],
    ["\u009b31m"],
  ])("refuses the user %p", async (user_id) => {
    const { status, json } = await relay.post("/register", { user_id });
    expect([status, json.error.code]).toEqual([422, "invalid_user"]);
    expect(json.error.message).toStartWith("user_id: Unexpected value. A whole number from 0");
  });

  test("says of a number that JSON cannot hold exactly that it is sent as text", async () => {
    const raw = await relay.request("POST", "/register", {
      body: '{"user_id":9007199254740993}',
      headers: { "content-type": "application/json" },
    });
    expect([raw.status, raw.json.error.code]).toEqual([422, "invalid_user"]);
    expect(raw.json.error.message).toContain("9007199254740991");
    expect(raw.json.error.message).toContain("text");
  });

  test("refuses a body without user_id and names the missing field", async () => {
    const { status, json } = await relay.post("/register", {});
    expect([status, json.error.code]).toEqual([422, "invalid_body"]);
    expect(json.error.message).toContain("user_id");
  });
});

describe("DELETE /register/:id", () => {
  test("ends a registration once, and answers in plain text", async () => {
    const id = (await relay.register()).slice(-32);
    const first = await relay.request("DELETE", `/register/${id}`);
    expect([first.status, first.text]).toEqual([200, `Client removed with id ${id}`]);
    const second = await relay.request("DELETE", `/register/${id}`);
    expect([second.status, second.text]).toEqual([404, `Client not found with id ${id}`]);
    expect(second.headers.get("content-type")).toStartWith("text/plain");
  });

  test("answers 404 for unknown ids, however odd they are", async () => {
    for (const id of ["x", "..%2f7", "%00", "__proto__", "a".repeat(2_000), "%E4%B8%AD"]) {
      const { status, text } = await relay.request("DELETE", `/register/${id}`);
      expect(status).toBe(404);
      expect(text).toStartWith("Client not found with id ");
    }
  });
});

describe("POST /publish", () => {
  test("delivers nothing for a topic without subscribers", async () => {
    const { status, json } = await relay.post("/publish", { topic: "nobody", message: "hi" });
    expect([status, json.delivered]).toEqual([200, 0]);
  });

  test("accepts a message of the largest size, and refuses a larger one", async () => {
    const fits = { topic: "t", message: "é".repeat(500) };
    expect((await relay.post("/publish", fits)).status).toBe(200);
    const { status, json } = await relay.post("/publish", { topic: "t", message: "é".repeat(501) });
    expect([status, json.error.code]).toEqual([413, "message_too_large"]);
    expect(json.error.message).toContain("1000");
  });

  test("accepts the largest message with every character escaped", async () => {
    const escaped = `{"topic":"t","message":"${"\\u0001".repeat(1_000)}"}`;
    expect((await raw(escaped)).status).toBe(200);
  });

  test.each([
    ["an empty topic", { topic: "", message: "a" }, "invalid_topic"],
    ["a topic of 256 bytes", { topic: "a".repeat(256), message: "a" }, "invalid_topic"],
    ["a control character in the topic", { topic: "a\r\nb", message: "a" }, "invalid_topic"],
    ["a lone surrogate in the topic", { topic: "\ud800", message: "a" }, "invalid_topic"],
    ["a topic that is a number", { topic: 1, message: "a" }, "invalid_topic"],
    ["a lone surrogate in the message", { topic: "a", message: "\udbff" }, "invalid_message"],
    ["a message that is an object", { topic: "a", message: {} }, "invalid_body"],
    ["no message", { topic: "a" }, "invalid_body"],
    ["a misspelt field", { topic: "a", message: "a", userid: 1 }, "invalid_body"],
    ["a user that is null", { topic: "a", message: "a", user_id: null }, "invalid_user"],
    ["a JSON string", "topic", "invalid_body"],
  ])("refuses %s with 422", async (_, body, code) => {
    const { status, json } = await relay.post("/publish", body);
    expect([status, json.error.code]).toEqual([422, code]);
    expect(json.error.message.length).toBeGreaterThan(20);
  });

  test.each([
    ["nothing", ""],
    ["half of a JSON object", '{"topic":"a"'],
    ["a NUL", "\u0000"],
    ["an invalid number", '{"topic":"a","message":01}'],
  ])("refuses %s with 400", async (_, body) => {
    const { status, json } = await raw(body);
    expect([status, json.error.code]).toEqual([400, "malformed_json"]);
  });

  test("refuses bytes that are not UTF-8 instead of repairing them", async () => {
    const bytes = Buffer.concat([
      Buffer.from('{"topic":"a","message":"'),
      Buffer.from([0xff]),
      Buffer.from('"}'),
    ]);
    const { status, json } = await raw(bytes);
    expect([status, json.error.code]).toEqual([400, "malformed_json"]);
  });

  test("refuses deep nesting and prototype keys, and no prototype changes", async () => {
    const deep = `{"topic":"a","message":"m","x":${"[".repeat(3_000)}${"]".repeat(3_000)}}`;
    expect((await raw(deep)).status).toBe(422);
    expect((await raw('{"__proto__":{"topic":"a","message":"m"}}')).status).toBe(422);
    expect((await raw('{"topic":"a","message":"m","__proto__":1}')).status).toBe(422);
    expect(({} as Record<string, unknown>).topic).toBeUndefined();
  });

  test("refuses a body over the limit with 413, with and without a Content-Length", async () => {
    const whole = await raw("x".repeat(8_001));
    expect([whole.status, whole.json.error.code]).toEqual([413, "body_too_large"]);
    const chunks = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 9; i++) controller.enqueue(new Uint8Array(1_000).fill(32));
        controller.close();
      },
    });
    const chunked = await raw(chunks);
    expect([chunked.status, chunked.json.error.code]).toEqual([413, "body_too_large"]);
  });

  test("accepts a chunked body", async () => {
    const parts = ['{"topic":"a",', '"message":"', "é".slice(0, 1), '"}'];
    const chunks = new ReadableStream({
      start(controller) {
        for (const part of parts) controller.enqueue(new TextEncoder().encode(part));
        controller.close();
      },
    });
    expect((await raw(chunks)).json).toMatchObject({ delivered: 0 });
  });
});

describe("routing", () => {
  test("answers 404 as JSON for an unknown path, without echoing the path", async () => {
    for (const path of [
      "/",
      "/nope",
      "/publish/x",
      "/register/a/b",
      "/topics//history",
      "/%70ublish",
    ]) {
      const { status, json, text } = await relay.request("GET", path);
      expect([status, json.error.code]).toEqual([404, "not_found"]);
      expect(text).not.toContain("nope");
    }
  });

  test.each([
    ["PUT", "/publish", "POST"],
    ["GET", "/publish", "POST"],
    ["PATCH", "/register", "POST"],
    ["GET", "/register/abc", "DELETE"],
    ["POST", "/health", "GET"],
    ["DELETE", "/ws/abc", "GET"],
  ])("answers %s %s with 405 and names the allowed methods", async (method, path, allow) => {
    const { status, headers, json } = await relay.request(method, path);
    expect([status, json.error.code]).toEqual([405, "method_not_allowed"]);
    expect(headers.get("allow")).toBe(allow);
  });
});

describe("CORS", () => {
  test.each([
    ["GET", "/health"],
    ["GET", "/nothing"],
    ["GET", "/topics/a/history"],
    ["OPTIONS", "/publish"],
    ["PUT", "/publish"],
    ["DELETE", "/register/unknown"],
  ])("adds no header to the answer where no page asks: %s %s", async (method, path) => {
    const { headers } = await relay.request(method, path);
    const names = [...headers.keys()];
    expect(names.filter((name) => name === "vary" || name.startsWith("access-control"))).toEqual(
      [],
    );
  });

  test("allows any page by default, without credentials", async () => {
    const headers = { origin: "https://any.example" };
    const answer = await relay.request("GET", "/health", { headers });
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    expect(answer.headers.get("access-control-allow-credentials")).toBeNull();
  });

  test("answers a preflight with the methods and headers of the API", async () => {
    const { status, headers } = await relay.request("OPTIONS", "/register/abc", {
      headers: { origin: "https://any.example", "access-control-request-method": "DELETE" },
    });
    expect(status).toBe(204);
    for (const method of ["GET", "POST", "DELETE"]) {
      expect(headers.get("access-control-allow-methods")).toContain(method);
    }
    const names = headers.get("access-control-allow-headers")?.toLowerCase().split(", ");
    expect(names).toContain("content-type");
    // Not covered by the star, which allows what tracing tools add to the requests of a page.
    expect(names).toContain("authorization");
    expect(names).toContain("*");
  });

  test("applies to errors too, so that a page can read them", async () => {
    const origin = "https://any.example";
    const wrong = await raw("{", { origin });
    expect(wrong.headers.get("access-control-allow-origin")).toBe("*");
    const large = await raw("x".repeat(9_000), { origin });
    expect(large.headers.get("access-control-allow-origin")).not.toBeNull();
  });
});

/** The JSON object in the answer to a registration that is sent as bytes. */
async function rawPost({ port }: TestRelay, line: string, host: string): Promise<string> {
  const socket = await RawSocket.open(port);
  const head = [line, host, "Content-Type: application/json", "Content-Length: 13"];
  socket.write([...head, "", '{"user_id":1}'].join("\r\n"));
  const answer = await socket.until("}");
  socket.drop();
  return answer;
}

function raw(body: NonNullable<RequestInit["body"]>, headers: Record<string, string> = {}) {
  return relay.request("POST", "/publish", {
    body,
    headers: { "content-type": "application/json", ...headers },
  });
}

describe("OPTIONS without an Origin, which is not a preflight", () => {
  test.each([
    ["/publish", "POST, OPTIONS"],
    ["/users/1/connections", "GET, DELETE, OPTIONS"],
    ["/connection/sse", "GET, POST, OPTIONS"],
    ["/", null],
    ["/nothing", null],
  ])("names the methods of %s", async (path, allow) => {
    const { status, headers } = await relay.request("OPTIONS", path);
    expect([status, headers.get("allow")]).toEqual([204, allow]);
  });
});
