// Rows of section I of the fault catalogue (docs/faults.md) that have no test in another file.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { SettingError } from "../../../src/settings/kinds";
import { readSettings } from "../../../src/settings/read";
import { readCode, walk } from "../../house/code";
import { handshake, RawSocket } from "../../support/clients/raw-socket";
import { idOf, startRelay, type TestRelay } from "../../support/relay/test-relay";

/** An expression that backtracks over 100 KB takes seconds. */
const SHORT_MS = 300;

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ BATON_REGISTRATION_TTL_MS: "1000" });
});
afterAll(() => relay[Symbol.asyncDispose]());

describe("I2: a registration's id", () => {
  test("has 128 random bits, each of them 0 as often as 1", async () => {
    const ids: string[] = [];
    for (let i = 0; i < 400; i++) ids.push(idOf(await relay.register()));
    expect(new Set(ids).size).toBe(400);
    const bits = ids.map((id) => [...BigInt(`0x${id}`).toString(2).padStart(128, "0")]);
    for (let bit = 0; bit < 128; bit++) {
      const ones = bits.filter((one) => one[bit] === "1").length;
      // 200 of 400 with a standard deviation of 10: a difference of seven of those has a chance of 1 in 10^11.
      expect(Math.abs(ones - 200)).toBeLessThan(70);
    }
  });

  test("gets the same answer whether it never existed, was deleted or was used up", async () => {
    const deleted = idOf(await relay.register());
    await relay.request("DELETE", `/register/${deleted}`);
    const url = await relay.register();
    await (await relay.open(url)).close();
    const answers = new Set<string>();
    for (const id of [deleted, idOf(url), "0".repeat(32), "f".repeat(32)]) {
      for (const path of [`/ws/${id}`, `/ws/${id}?format=json`]) {
        const raw = await RawSocket.open(relay.port);
        raw.write(handshake(path, ["Connection: close, Upgrade"]));
        const head = await raw.until("\r\n\r\n");
        answers.add(head.replaceAll(/^(Date|Content-Length): .*\r\n/gm, ""));
        raw.drop();
      }
      const { status, text } = await relay.request("GET", `/sse/${id}`);
      answers.add(`${status} ${text}`);
    }
    expect(answers.size).toBe(2);
    for (const answer of answers) expect(answer).toContain("404");
  });
});

test("I5: whatever the topics and users are, even broken Unicode, no client gets what is meant for another", async () => {
  const part = fc.constantFrom("\ud800", "\udbff", "\udc00", "\ufffd", "a", "é", "e\u0301", "😀");
  const name = fc.array(part, { minLength: 1, maxLength: 2 }).map((parts) => parts.join(""));
  const one = fc.record({ user: name, topic: name });
  await fc.assert(
    fc.asyncProperty(one, one, fc.boolean(), async (mine, other, toUser) => {
      const registered = await relay.post("/register", {
        user_id: mine.user,
        topics: [mine.topic],
      });
      const isWhole = mine.user.isWellFormed() && mine.topic.isWellFormed();
      expect(registered.status).toBe(isWhole ? 200 : 422);
      if (!isWhole) return;
      const client = await relay.open(registered.json.url);
      const body = { topic: other.topic, message: "for the other" };
      await relay.post("/publish", toUser ? { ...body, user_id: other.user } : body);
      const isMine = other.topic === mine.topic && (!toUser || other.user === mine.user);
      expect(await client.rest()).toEqual(isMine ? ["for the other"] : []);
      await client.close();
    }),
    { numRuns: 60 },
  );
});

test("I6: no regular expression is slow on 100 KB of its worst texts", async () => {
  const patterns = new Map<string, RegExp>();
  for (const { path, program } of await readCode()) {
    if (!path.startsWith("src/")) continue;
    walk(program, (node) => {
      if (node.type !== "Literal" || !("regex" in node)) return;
      const { pattern, flags } = node.regex;
      patterns.set(`${path}: /${pattern}/${flags}`, new RegExp(pattern, flags));
    });
  }
  expect(patterns.size).toBeGreaterThan(20);
  const pieces = [
    "a",
    "0",
    " ",
    "=",
    ":",
    "/",
    ".",
    "-",
    ",",
    "\t",
    "a=",
    "a:0",
    "é",
    "{",
    "[",
    "apikey ",
  ];
  const begins = ["", "apikey ", "application/json", "http://a/ws/"];
  const texts = pieces.flatMap((piece) => {
    const many = piece.repeat(Math.ceil(100_000 / piece.length));
    return begins.flatMap((begin) => ["", "\u0000", "!"].map((end) => begin + many + end));
  });
  for (const [name, pattern] of patterns) {
    const times = texts.map((text) => {
      // Only the shortest run counts, not a pause of the machine.
      let shortest = Number.POSITIVE_INFINITY;
      for (let run = 0; run < 5 && shortest > SHORT_MS; run++) {
        const before = performance.now();
        pattern.lastIndex = 0;
        pattern.test(text);
        shortest = Math.min(shortest, performance.now() - before);
      }
      return shortest;
    });
    expect(Math.max(...times), name).toBeLessThan(SHORT_MS);
  }
});

test("I11: without a key the OpenAPI page describes the API and reveals nothing of what the relay does", async () => {
  await using guarded = await startRelay({ BATON_API_KEYS: "a-long-enough-api-key" });
  const before = (await guarded.request("GET", "/openapi/json")).text;
  const headers = { "x-api-key": "a-long-enough-api-key" };
  const body = { user_id: "somebody", topics: ["something"] };
  await guarded.open((await guarded.post("/register", body, headers)).json.url);
  expect((await guarded.request("GET", "/openapi/json")).text).toBe(before);
  for (const spelled of ["/metrics", "//metrics", "/openapi/../metrics", "/metrics/"]) {
    const { status, text } = await guarded.request("GET", spelled);
    expect([401, 404], spelled).toContain(status);
    expect(text, spelled).not.toContain("baton_");
  }
  for (const path of ["/admin", "/debug", "/stats", "/.env", "/src/main.ts"]) {
    for (const spelled of [path, `/${path}`, `/openapi/..${path}`, `${path}/`]) {
      expect((await guarded.request("GET", spelled)).status, spelled).toBe(404);
    }
  }
});

test("I13: no socket of any protocol agrees to compression", async () => {
  const { pathname } = new URL(await relay.register());
  for (const path of [pathname, "/connection/websocket"]) {
    const raw = await RawSocket.open(relay.port);
    raw.write(
      handshake(path, ["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"]),
    );
    const head = await raw.until("\r\n\r\n");
    expect(head).toStartWith("HTTP/1.1 101");
    expect(head.toLowerCase()).not.toContain("extensions");
    // Without that agreement, a frame marked as compressed violates the protocol.
    raw.frame(0x41, "x");
    expect((await raw.nextFrame()).payload.readUInt16BE(0)).toBe(1002);
    raw.drop();
  }
});

describe("I15: a secret or key that can be guessed", () => {
  const errorLine = (env: Record<string, string>): string => {
    try {
      readSettings(env, 20_000);
      return "";
    } catch (error) {
      if (error instanceof SettingError) return error.message;
      throw error;
    }
  };
  const host = "192.168.1.5";
  const key = { BATON_API_KEYS: "a-long-enough-api-key" };

  test("stops the start when other machines can reach the relay", () => {
    for (const secret of ["secret", "x".repeat(31)]) {
      expect(errorLine({ HOST: host, ...key, BATON_TOKEN_SECRET: secret })).toContain(
        "at least 32",
      );
      expect(errorLine({ BATON_TOKEN_SECRET: secret })).toBe("");
    }
    expect(errorLine({ HOST: host, ...key, BATON_TOKEN_SECRET: "x".repeat(32) })).toBe("");
    expect(errorLine({ HOST: host, ...key, BATON_TOKEN_SECRET: "é".repeat(16) })).toBe("");
    expect(errorLine({ HOST: host, BATON_API_KEYS: "" })).toContain("BATON_API_KEYS");
  });

  test("does not exist by default: common guesses of an API key are refused", async () => {
    await using guarded = await startRelay(key);
    for (const guess of ["", "undefined", "null", "changeme", "secret"]) {
      const headers = { "x-api-key": guess };
      expect((await guarded.post("/publish", { topic: "a", message: "b" }, headers)).status).toBe(
        401,
      );
    }
  });
});
