// Requests of the server API, whatever their method: keys, bodies, batches, and commands as older libraries send them.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  callApi,
  KEY,
  sessionOf,
  startGuardedRelay,
  startOpenRelay,
} from "../../support/centrifuge/server-api";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

let relay: TestRelay;
let guarded: TestRelay;
beforeAll(async () => {
  [relay, guarded] = await Promise.all([startOpenRelay(), startGuardedRelay()]);
});
afterAll(() => Promise.all([relay[Symbol.asyncDispose](), guarded[Symbol.asyncDispose]()]));

const post = (method: string, body: string, headers: Record<string, string> = {}) =>
  relay.request("POST", `/api/${method}`, { body, headers });

const call = (method: string, body: object, at: TestRelay = relay) => callApi(at, method, body);

const code = async (method: string, body: object) => (await call(method, body)).error?.code;

describe("the API key of the server API", () => {
  const call = (headers: Record<string, string>, query = "") =>
    guarded.request("POST", `/api/info${query}`, { body: "{}", headers });

  test("is accepted in X-API-Key and in Authorization", async () => {
    expect((await call({ "x-api-key": KEY })).status).toBe(200);
    expect((await call({ authorization: `apikey ${KEY}` })).status).toBe(200);
  });

  test("is refused in the URL, which proxies log, and when it is wrong", async () => {
    expect((await call({}, `?api_key=${KEY}`)).status).toBe(401);
    expect((await call({})).status).toBe(401);
    expect((await call({ "x-api-key": "wrong" })).status).toBe(401);
    expect((await call({ authorization: `Bearer ${KEY}` })).status).toBe(401);
  });

  test("is checked before the method and the body", async () => {
    expect((await guarded.request("POST", "/api/nothing", { body: "{" })).status).toBe(401);
  });
});

describe("a request of the server API", () => {
  test("requires a known method, POST and JSON, but no content type", async () => {
    expect((await post("nothing", "{}")).status).toBe(404);
    expect((await post("__proto__", "{}")).status).toBe(404);
    expect((await post("constructor", "{}")).status).toBe(404);
    expect((await relay.request("GET", "/api/publish")).status).toBe(405);
    expect((await post("publish", "{")).status).toBe(400);
    expect((await post("publish", "")).status).toBe(400);
    const body = '{"channel":"t","data":1}';
    const headers = { "content-type": "text/plain" };
    expect((await post("publish", body, headers)).json.result.offset).toBe(1);
    expect((await post("publish", body, { "content-encoding": "gzip" })).status).toBe(415);
  });

  test.each(["null", "[]", "1", '"a"'])("is a bad request when its body is %s", async (body) => {
    expect((await post("publish", body)).json).toEqual({
      error: { code: 107, message: "bad request: the body: Expected object." },
    });
  });

  test.each([
    ["publish", "data is missing.", { channel: "t" }],
    ["publish", "/tags: Expected object.", { channel: "t", data: 1, tags: 1 }],
    ["publish", "/channel: Expected string.", { channel: 1, data: 1 }],
    ["publish", "must not contain control characters", { channel: "a\nb", data: 1 }],
    ["publish", "An idempotency key must", { channel: "t", data: 1, idempotency_key: "a\nb" }],
    ["publish", "at most 65536 bytes", { channel: "t", data: "x".repeat(65_536) }],
    ["publish", "b64data must be the base64 of JSON.", { channel: "t", b64data: "!" }],
    ["broadcast", "channels is missing.", { data: 1 }],
    ["disconnect", "One of user, client and session is required.", {}],
  ])("to %s says in the message of its error what is wrong: %s", async (method, sentence, body) => {
    const { error } = (await post(method, JSON.stringify(body))).json;
    expect(error.message).toContain(sentence);
    expect(error.message).toMatch(/^(bad request|limit exceeded): /);
  });

  test("for rpc is answered like that of a Centrifugo without RPC: method not found", async () => {
    expect((await post("rpc", '{"method":"anything"}')).json).toEqual({
      error: { code: 104, message: "method not found: There is no such method." },
    });
  });

  test("gets its error as an HTTP status when it asks for one", async () => {
    const headers = { "x-centrifugo-error-mode": "transport" };
    await post("publish", '{"channel":"mode","data":1}');
    const rows = [
      ["publish", "{}", 400, { code: 107, message: "bad request: data is missing." }],
      [
        "presence",
        '{"channel":"t"}',
        400,
        {
          code: 108,
          message: "not available: The relay or this topic does not offer this feature.",
        },
      ],
      [
        "history",
        '{"channel":"mode","since":{"offset":1,"epoch":"other"}}',
        416,
        { code: 112, message: expect.stringMatching(/^unrecoverable position: .+epoch.+\.$/) },
      ],
      [
        "batch",
        "{}",
        400,
        {
          code: 107,
          message: "bad request: commands is missing or has over 1,000 items.",
        },
      ],
    ] as const;
    for (const [method, body, status, error] of rows) {
      const answer = await post(method, body, headers);
      expect([method, answer.status, answer.json]).toEqual([method, status, error]);
    }
    const good = await post("publish", '{"channel":"mode","data":1}', headers);
    expect([good.status, good.json.result.offset]).toEqual([200, 2]);
  });
});

describe("/api/batch", () => {
  test("runs its commands one after another, and answers each in its place", async () => {
    const body = `{"commands":[
      {"publish":{"channel":"mixed","data": [1.0] }},
      {"history":{"channel":"mixed","limit":1}},
      {"publish":{"channel":""}},
      {"nothing":{}},
      {"batch":{"commands":[]}},
      {"presence":{"channel":"mixed"}},
      {"__proto__":{}},
      7, null, {}, [],
      {"publish":null},
      {"broadcast":{"channels":["mixed"],"data":2}},
      {"disconnect":{"user":"nobody"}}
    ]}`;
    const answer = await post("batch", body);
    expect(answer.status).toBe(200);
    const { replies } = answer.json;
    const shape = replies.map((reply: { error?: { code: number } }) =>
      reply.error === undefined ? Object.keys(reply)[0] : reply.error.code,
    );
    const unknown = [104, 104, 104];
    expect(shape).toEqual([
      ...["publish", "history", 107],
      ...[104, 104, 108, 104],
      ...[104, ...unknown],
      ...[107, "broadcast", "disconnect"],
    ]);
    expect(answer.text).toContain('{"data":[1.0],"offset":1}');
    expect(replies[12].broadcast.responses[0].result.offset).toBe(2);
    expect(replies.at(-1)).toEqual({ disconnect: {} });
  });

  test("accepts 1,000 commands and no more", async () => {
    const commands = Array(1_000).fill({ publish: { channel: "batched", data: 1 } });
    const { replies } = await call("batch", { commands });
    expect(replies).toHaveLength(1_000);
    expect(replies.at(-1).publish.offset).toBe(1_000);
    expect(await code("batch", { commands: [...commands, commands[0]] })).toBe(107);
    expect(await code("batch", { commands: {} })).toBe(107);
    expect(await code("batch", {})).toBe(107);
    expect(await call("batch", { commands: [] })).toEqual({ replies: [] });
  });
});

describe("POST /api, which older libraries use", () => {
  /** The answer's type is JSON, but it has one JSON text for each command. */
  const commands = async (body: string) => {
    const response = await fetch(`${relay.url}/api`, { method: "POST", body });
    return { status: response.status, lines: (await response.text()).split("\n") };
  };

  test("runs commands, one to a line, and answers each in its place", async () => {
    const { status, lines } = await commands(
      [
        '{"method":"publish","params":{"channel":"older","data": {"x": 1.0}}}',
        "",
        '{"id":7,"method":"history","params":{"channel":"older","limit":1}}',
        '{"method":"publish","params":{"channel":""}}',
        '{"id":8,"method":"nothing","params":{}}',
        '{"method":7}',
        '{"method":"info"}',
      ].join("\n"),
    );
    expect(status).toBe(200);
    const [published, read, ...others] = lines;
    expect(JSON.parse(published as string).result.offset).toBe(1);
    expect(read).toStartWith('{"id":7,"result":{"publications":[{"data":{"x": 1.0},"offset":1}]');
    const bad = { error: { code: 107, message: expect.stringMatching(/^bad request: .+\.$/) } };
    const unknown = {
      error: { code: 104, message: "method not found: There is no such method." },
    };
    const [empty, nothing, wrong, info] = others.map((line) => JSON.parse(line));
    expect([empty, nothing, wrong]).toEqual([bad, { id: 8, ...unknown }, bad]);
    expect(info.result.nodes).toHaveLength(1);
  });

  test("accepts a single command over many lines", async () => {
    const command = { method: "publish", params: { channel: "older lines", data: 1 } };
    const { lines } = await commands(JSON.stringify(command, null, 2));
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] as string).result.offset).toBe(1);
  });

  test("publishes nothing of a body that is not JSON, is empty or has too many commands", async () => {
    const command = '{"method":"publish","params":{"channel":"older none","data":1}}';
    expect((await commands(`${command}\n{`)).status).toBe(400);
    expect((await commands("")).status).toBe(400);
    expect((await commands(Array(1_001).fill(command).join("\n"))).status).toBe(413);
    const { result } = await call("history", { channel: "older none" });
    expect(result.offset).toBe(0);
  });

  test("requires a key when the relay has keys", async () => {
    const body = '{"method":"info"}';
    expect((await guarded.request("POST", "/api", { body })).status).toBe(401);
    const headers = { authorization: `apikey ${KEY}` };
    expect((await guarded.request("POST", "/api", { body, headers })).status).toBe(200);
  });
});

test("the server API reads null as a missing member, and names in any case, on which libraries in Go rely", async () => {
  const body = { channel: "go", limit: 1, since: null, reverse: null };
  expect((await call("history", body)).result.publications).toEqual([]);
  const session = await sessionOf(guarded, "go");
  const Disconnect = { code: 3011, reason: "force reconnect" };
  await call("disconnect", { user: "go", Disconnect, ClientWhitelist: null }, guarded);
  expect(await session.closed).toEqual(Disconnect);
});

describe("the time of a call grows with the work, not with its square", () => {
  /** The shortest of some runs, so that a pause of the machine does not count. */
  const timeOf = async (run: () => Promise<unknown>): Promise<number> => {
    const times: number[] = [];
    for (let i = 0; i < 3; i++) {
      const begun = performance.now();
      await run();
      times.push(performance.now() - begun);
    }
    return Math.min(...times);
  };
  // Ten times the work takes about ten times as long. If time grew with the square, it would be a hundred times.
  const TIMES_MAX = 40;

  test("for a batch of publications", async () => {
    const batch = (size: number) => () =>
      call("batch", {
        commands: Array(size).fill({ publish: { channel: "timed", data: "x".repeat(900) } }),
      });
    const tenth = await timeOf(batch(100));
    expect(await timeOf(batch(1_000))).toBeLessThan(TIMES_MAX * Math.max(1, tenth));
  });

  test("for a broadcast of much data", async () => {
    await using large = await startRelay({ BATON_MESSAGE_BYTES: "600000" });
    const data = { list: Array.from({ length: 40_000 }, (_, i) => `item ${i}`) };
    expect(JSON.stringify(data).length).toBeGreaterThan(500_000);
    const broadcast = (size: number) => async () => {
      const channels = Array.from({ length: size }, (_, i) => `wide ${i}`);
      const { responses } = (await call("broadcast", { channels, data }, large)).result;
      expect(responses.at(-1).result.offset).toBeGreaterThan(0);
    };
    const tenth = await timeOf(broadcast(100));
    const whole = await timeOf(broadcast(1_000));
    expect(whole).toBeLessThan(TIMES_MAX * tenth);
  }, 120_000);
});
