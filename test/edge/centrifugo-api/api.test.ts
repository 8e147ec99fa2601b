// POST /api/<method>: the server API as Centrifugo's libraries know it (docs/centrifuge-protocol.md, "Server API").
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SessionClient } from "../../support/centrifuge/session-client";
import { idOf, startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";

const RULES = { "seen:": { presence: true }, "brief:": { history_size: 0 } };
const SECRET = "a-secret-of-at-least-32-bytes-for-tokens";
const KEY = "a-long-random-key";

let relay: TestRelay;
/** One whose clients have tokens, so that they have users. */
let guarded: TestRelay;
beforeAll(async () => {
  const BATON_TOPICS_FILE = topicsFile({ ...RULES, "seen:": { presence: true } });
  relay = await startRelay({ BATON_TOPICS_FILE });
  guarded = await startRelay({
    BATON_TOPICS_FILE,
    BATON_API_KEYS: KEY,
    BATON_TOKEN_SECRET: SECRET,
  });
});
afterAll(() => Promise.all([relay[Symbol.asyncDispose](), guarded[Symbol.asyncDispose]()]));

const post = (method: string, body: string, headers: Record<string, string> = {}) =>
  relay.request("POST", `/api/${method}`, { body, headers });

/** The answer to a call; it has status 200 whatever it says. */
async function call(method: string, body: object, at: TestRelay = relay) {
  const { status, json } = await at.post(`/api/${method}`, body, { "x-api-key": KEY });
  expect(status).toBe(200);
  return json;
}

const code = async (method: string, body: object) => (await call(method, body)).error?.code;

function token(user: string, claims: object = {}): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const head = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ sub: user, ...claims })}`;
  return `${head}.${new Bun.CryptoHasher("sha256", SECRET).update(head).digest("base64url")}`;
}

const sessionOf = (user: string, claims: object = {}) =>
  SessionClient.connect(guarded, { token: token(user, claims) });

const now = () => Math.floor(Date.now() / 1000);

describe("keys", () => {
  const call = (headers: Record<string, string>, query = "") =>
    guarded.request("POST", `/api/info${query}`, { body: "{}", headers });

  test("open in X-API-Key and in Authorization", async () => {
    expect((await call({ "x-api-key": KEY })).status).toBe(200);
    expect((await call({ authorization: `apikey ${KEY}` })).status).toBe(200);
  });

  test("do not open in the URL, which ends in logs; nor when they are wrong", async () => {
    expect((await call({}, `?api_key=${KEY}`)).status).toBe(401);
    expect((await call({})).status).toBe(401);
    expect((await call({ "x-api-key": "wrong" })).status).toBe(401);
    expect((await call({ authorization: `Bearer ${KEY}` })).status).toBe(401);
  });

  test("are looked at before the method and the body", async () => {
    expect((await guarded.request("POST", "/api/nothing", { body: "{" })).status).toBe(401);
  });
});

describe("a request", () => {
  test("needs a method that there is, POST and JSON, but no content type", async () => {
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

  test.each(["null", "[]", "1", '"a"'])("whose body is %s is a bad one", async (body) => {
    expect((await post("publish", body)).json).toEqual({
      error: { code: 107, message: "bad request" },
    });
  });

  test("for a call is answered that there is no such one, like those of Centrifugo without any", async () => {
    expect((await post("rpc", '{"method":"anything"}')).json).toEqual({
      error: { code: 104, message: "method not found" },
    });
  });

  test("gets its error as an HTTP status when it asks for that", async () => {
    const headers = { "x-centrifugo-error-mode": "transport" };
    await post("publish", '{"channel":"mode","data":1}');
    const rows = [
      ["publish", "{}", 400, { code: 107, message: "bad request" }],
      ["presence", '{"channel":"t"}', 400, { code: 108, message: "not available" }],
      [
        "history",
        '{"channel":"mode","since":{"offset":1,"epoch":"other"}}',
        416,
        { code: 112, message: "unrecoverable position" },
      ],
      ["batch", "{}", 400, { code: 107, message: "bad request" }],
    ] as const;
    for (const [method, body, status, error] of rows) {
      const answer = await post(method, body, headers);
      expect([method, answer.status, answer.json]).toEqual([method, status, error]);
    }
    const good = await post("publish", '{"channel":"mode","data":1}', headers);
    expect([good.status, good.json.result.offset]).toEqual([200, 2]);
  });
});

describe("publish", () => {
  test.each([
    '{"price": 1.0, "big": 12345678901234567890, "t": "\\u0041\\/é"}',
    "12345678901234567890",
    "1.0",
    "null",
    '"text"',
    "[ ]",
  ])("sends the bytes that came in: %s", async (data) => {
    const session = await SessionClient.connect(relay, { topics: ["exact"] });
    const answer = await post("publish", `{"data": ${data} ,"channel":"exact"}`);
    const { offset, epoch } = answer.json.result;
    expect([typeof offset, typeof epoch]).toEqual(["number", "string"]);
    expect(await session.nextText()).toBe(
      `{"push":{"channel":"exact","pub":{"data":${data},"offset":${offset}}}}`,
    );
    session.drop();
  });

  test("takes base64 of JSON, and refuses what holds none", async () => {
    const client = await relay.connect(1, ["base64"]);
    const encode = (bytes: string | Uint8Array) => Buffer.from(bytes).toString("base64");
    const b64data = encode('{"x": 1.0}');
    expect((await call("publish", { channel: "base64", b64data })).result.offset).toBe(1);
    expect(await client.next()).toBe('{"x": 1.0}');
    for (const bad of [encode("{"), encode(new Uint8Array([0x22, 0xff, 0x22])), "!"]) {
      expect(await code("publish", { channel: "base64", b64data: bad })).toBe(107);
    }
    expect(await client.rest()).toEqual([]);
  });

  test("carries tags, live and in history", async () => {
    const session = await SessionClient.connect(relay, { topics: ["tagged"] });
    const tags = { a: "1", "\u2028": "é" };
    await call("publish", { channel: "tagged", data: 1, tags });
    expect((await session.next()).pub).toEqual({ data: 1, offset: 1, tags });
    const { publications } = (await call("history", { channel: "tagged", limit: 1 })).result;
    expect(publications).toEqual([{ data: 1, offset: 1, tags }]);
    for (const bad of [{ a: 1 }, { "\u2028": 1 }, [], "a"]) {
      expect(await code("publish", { channel: "tagged", data: 1, tags: bad })).toBe(107);
    }
    session.drop();
  });

  test("with an idempotency key publishes once", async () => {
    const client = await relay.connect(1, ["once"]);
    const body = { channel: "once", data: 1, idempotency_key: "key" };
    const first = await call("publish", body);
    expect(await call("publish", body)).toEqual(first);
    expect(await client.rest()).toEqual(["1"]);
    expect(await code("publish", { ...body, data: 2 })).toBe(107);
    expect(await code("publish", { ...body, idempotency_key: "with space" })).toBe(107);
    expect((await call("publish", { ...body, idempotency_key: "" })).result.offset).toBe(2);
  });

  test("has no position where the topic keeps no history", async () => {
    expect(await call("publish", { channel: "brief:a", data: 1 })).toEqual({ result: {} });
  });

  test.each([
    [{}, 107],
    [{ channel: "t" }, 107],
    [{ channel: "", data: 1 }, 107],
    [{ data: 1 }, 107],
    [{ channel: 1, data: 1 }, 107],
    [{ channel: "a\nb", data: 1 }, 107],
    [{ channel: "x".repeat(256), data: 1 }, 107],
    [{ channel: "t", data: "x".repeat(70_000) }, 106],
  ])("of %j answers %d", async (body, expected) => {
    expect(await code("publish", body)).toBe(expected);
  });

  test("passes over fields that it does not know", async () => {
    const body = { channel: "unknown", data: 1, version: 3, delta: true, skip: null };
    expect((await call("publish", body)).result.offset).toBe(1);
  });
});

describe("broadcast", () => {
  test("publishes to each topic, and answers in their order", async () => {
    const client = await relay.connect(1, ["wide1", "wide2"]);
    const body = '{"channels":["wide1","","wide2","brief:b"],"data":{"x": 1.0}}';
    const { responses } = (await post("broadcast", body)).json.result;
    expect(responses).toEqual([
      { result: { offset: 1, epoch: expect.any(String) } },
      { error: { code: 107, message: "bad request" } },
      { result: { offset: 1, epoch: expect.any(String) } },
      { result: {} },
    ]);
    expect(await client.take(2)).toEqual(['{"x": 1.0}', '{"x": 1.0}']);
  });

  test("with an idempotency key publishes once to each", async () => {
    const body = { channels: ["wide3", "wide4"], data: 1, idempotency_key: "wide" };
    const first = await call("broadcast", body);
    expect(await call("broadcast", body)).toEqual(first);
    expect(first.result.responses[1].result.offset).toBe(1);
  });

  test("needs topics, at most 1,000, and data", async () => {
    expect(await code("broadcast", { data: 1 })).toBe(107);
    expect(await code("broadcast", { channels: [], data: 1 })).toBe(107);
    expect(await code("broadcast", { channels: Array(1_001).fill("t"), data: 1 })).toBe(107);
    expect(await code("broadcast", { channels: ["t"] })).toBe(107);
  });
});

describe("subscribe and unsubscribe", () => {
  test("bring a user's sessions into a topic, with info, data and a position, and out again", async () => {
    const session = await sessionOf("given");
    const other = await sessionOf("not given");
    for (const data of [1, 2, 3]) await call("publish", { channel: "seen:gift", data }, guarded);
    const page = await call("history", { channel: "seen:gift", limit: 1 }, guarded);
    const { epoch } = page.result;
    const body = `{"user":"given","channel":"seen:gift","info":{"i": 1.0},"data":{"d": 1.0},"recover_since":{"offset":1,"epoch":"${epoch}"}}`;
    const headers = { "x-api-key": KEY };
    const answer = await guarded.request("POST", "/api/subscribe", { body, headers });
    expect(answer.json).toEqual({ result: {} });
    expect(await session.nextText()).toContain('"data":{"d": 1.0}');
    expect([await session.next(), await session.next()]).toEqual([
      { channel: "seen:gift", pub: { data: 2, offset: 2 } },
      { channel: "seen:gift", pub: { data: 3, offset: 3 } },
    ]);
    const { presence } = (await call("presence", { channel: "seen:gift" }, guarded)).result;
    expect(presence).toEqual({
      [session.id]: { user: "given", client: session.id, chan_info: { i: 1 } },
    });
    await call("unsubscribe", { user: "given", channel: "seen:gift" }, guarded);
    expect(await session.next()).toEqual({
      channel: "seen:gift",
      unsubscribe: { code: 2000, reason: "server unsubscribe" },
    });
    expect(await other.rest()).toEqual([]);
    expect(await call("unsubscribe", { user: "given", channel: "seen:gift" }, guarded)).toEqual({
      result: {},
    });
    expect(await session.rest()).toEqual([]);
  });

  test("without a topic take a user out of all", async () => {
    const session = await sessionOf("all");
    for (const channel of ["all:a", "all:b"]) {
      expect(await call("subscribe", { user: "all", channel }, guarded)).toEqual({ result: {} });
      expect((await session.next()).channel).toBe(channel);
    }
    await call("unsubscribe", { user: "all" }, guarded);
    const pushes = [await session.next(), await session.next()];
    expect(pushes.map(({ channel }) => channel)).toEqual(["all:a", "all:b"]);
    await call("publish", { channel: "all:a", data: 1 }, guarded);
    expect(await session.rest()).toEqual([]);
  });

  test("change nothing for those who have the topic already, or are another's", async () => {
    const session = await SessionClient.connect(relay, { topics: ["had"] });
    expect(await call("subscribe", { client: session.id, channel: "had" })).toEqual({ result: {} });
    const body = { client: session.id, user: "another", channel: "new" };
    expect(await call("subscribe", body)).toEqual({ result: {} });
    expect(await session.rest()).toEqual([]);
    session.drop();
  });

  test("need somebody and a topic that can be", async () => {
    expect(await code("subscribe", { channel: "t" })).toBe(107);
    expect(await code("subscribe", { user: "", channel: "t" })).toBe(107);
    expect(await code("subscribe", { user: "u" })).toBe(107);
    expect(await code("subscribe", { user: "u", channel: "\n" })).toBe(107);
    expect(await code("subscribe", { user: "u", channel: "t", b64info: "e" })).toBe(107);
    expect(await code("unsubscribe", { channel: "t" })).toBe(107);
  });

  test("tell of an epoch that is gone", async () => {
    const session = await SessionClient.connect(relay);
    await call("publish", { channel: "epoch", data: 1 });
    const since = { offset: 0, epoch: "other" };
    await call("subscribe", { client: session.id, channel: "epoch", recover_since: since });
    const { subscribe } = await session.next();
    expect(subscribe).toMatchObject({ was_recovering: true, offset: 1 });
    expect(subscribe.recovered).toBeUndefined();
    expect(await session.rest()).toEqual([]);
    session.drop();
  });
});

describe("disconnect", () => {
  test("ends a user's connections of all kinds but those on the whitelist", async () => {
    const session = await sessionOf("ended");
    const spared = await sessionOf("ended");
    const { json } = await guarded.post("/register", { user_id: "ended" }, { "x-api-key": KEY });
    const plain = await guarded.open(json.url);
    const body = {
      user: "ended",
      whitelist: [spared.id],
      disconnect: { code: 4001, reason: "out" },
    };
    expect(await call("disconnect", body, guarded)).toEqual({ result: {} });
    expect(await session.closed).toEqual({ code: 4001, reason: "out" });
    expect(await plain.closed).toEqual({ code: 4001, reason: "out" });
    expect(await spared.rest()).toEqual([]);
    await call("disconnect", { user: "ended" }, guarded);
    expect(await spared.closed).toEqual({ code: 3503, reason: "force disconnect" });
  });

  test("ends one client, by its id, and never without a reason", async () => {
    const session = await SessionClient.connect(relay);
    await call("disconnect", { client: session.id, disconnect: { code: 4002, reason: "" } });
    expect(await session.closed).toEqual({ code: 4002, reason: "force disconnect" });
    const url = await relay.register();
    const plain = await relay.open(url, ["seen:ends"]);
    const { presence } = (await call("presence", { channel: "seen:ends" })).result;
    await call("disconnect", { client: Object.keys(presence)[0] });
    expect(await plain.closed).toEqual({ code: 3503, reason: "force disconnect" });
    expect((await relay.request("DELETE", `/register/${idOf(url)}`)).status).toBe(404);
  });

  test("with code 0 and no reason, as libraries write what is not given, says 3503", async () => {
    const session = await sessionOf("zero");
    await call("disconnect", { user: "zero", disconnect: { code: 0, reason: "" } }, guarded);
    expect(await session.closed).toEqual({ code: 3503, reason: "force disconnect" });
  });

  test("of nobody, or with another code or reason than can be, is refused", async () => {
    expect(await code("disconnect", {})).toBe(107);
    for (const disconnect of [
      { code: 2999 },
      { code: 5000 },
      { code: 4000.5 },
      { reason: "é".repeat(62) },
    ]) {
      expect(await code("disconnect", { user: "u", disconnect })).toBe(107);
    }
    expect(await call("disconnect", { user: "nobody" })).toEqual({ result: {} });
  });
});

describe("refresh", () => {
  test("ends at once what is expired", async () => {
    const session = await sessionOf("expired");
    await call("refresh", { user: "expired", expired: true }, guarded);
    expect(await session.closed).toEqual({ code: 3005, reason: "connection expired" });
  });

  test("with a time prolongs, and needs somebody", async () => {
    const session = await sessionOf("longer", { exp: now() + 60 });
    const body = { client: session.id, expire_at: now() + 3_600 };
    expect(await call("refresh", body, guarded)).toEqual({ result: {} });
    expect(await session.rest()).toEqual([]);
    expect(await code("refresh", { expired: true })).toBe(107);
  });
});

describe("presence and presence_stats", () => {
  test("tell who is in a topic, and how many", async () => {
    const session = await SessionClient.connect(relay, { topics: ["seen:who"] });
    await relay.connect("someone", ["seen:who"]);
    const { presence } = (await call("presence", { channel: "seen:who" })).result;
    expect(Object.values(presence)).toContainEqual({ user: "", client: session.id });
    expect(Object.values<{ user: string }>(presence).map(({ user }) => user)).toContain("someone");
    expect(await call("presence_stats", { channel: "seen:who" })).toEqual({
      result: { num_clients: 2, num_users: 2 },
    });
    session.drop();
  });

  test.each(["presence", "presence_stats"])("%s answers 108 or 107 where it cannot", async (of) => {
    expect(await code(of, { channel: "other" })).toBe(108);
    expect(await code(of, { channel: "" })).toBe(107);
    expect(await code(of, {})).toBe(107);
    expect((await call(of, { channel: "seen:nobody" })).result).toBeDefined();
  });
});

describe("history and history_remove", () => {
  const offsets = async (body: object) => {
    const { result } = await call("history", { channel: "past", ...body });
    return result.publications.map(({ offset }: { offset: number }) => offset);
  };
  let epoch: string;
  beforeAll(async () => {
    for (const data of [1, 2, 3, 4, 5]) {
      epoch = (await call("publish", { channel: "past", data })).result.epoch;
    }
  });

  test("give publications, both ways, from any offset, at most so many", async () => {
    expect(await call("history", { channel: "past" })).toEqual({
      result: { publications: [], epoch, offset: 5 },
    });
    expect(await offsets({ limit: -1 })).toEqual([1, 2, 3, 4, 5]);
    expect(await offsets({ limit: 2 })).toEqual([1, 2]);
    expect(await offsets({ limit: 2, reverse: true })).toEqual([5, 4]);
    expect(await offsets({ limit: -1, since: { offset: 3, epoch } })).toEqual([4, 5]);
    expect(await offsets({ limit: -1, since: { offset: 3 } })).toEqual([4, 5]);
    expect(await offsets({ limit: -1, since: { offset: 3, epoch }, reverse: true })).toEqual([
      2, 1,
    ]);
    expect(await offsets({ limit: -1, since: { offset: 99, epoch } })).toEqual([]);
  });

  test("never give more than 300", async () => {
    const commands = Array(310).fill({ publish: { channel: "long", data: 1 } });
    await using deep = await startRelay({ BATON_HISTORY_SIZE: "1000" });
    await call("batch", { commands }, deep);
    for (const limit of [-1, 1_000_000]) {
      const { result } = await call("history", { channel: "long", limit }, deep);
      expect([result.publications.length, result.offset]).toEqual([300, 310]);
    }
  });

  test("refuse what cannot be", async () => {
    expect(await code("history", { channel: "past", since: { offset: 1, epoch: "other" } })).toBe(
      112,
    );
    expect(await code("history", { channel: "past", since: { offset: 0 }, reverse: true })).toBe(
      107,
    );
    expect(await code("history", { channel: "past", since: { offset: -1 } })).toBe(107);
    expect(await code("history", { channel: "brief:a" })).toBe(108);
    expect(await code("history", {})).toBe(107);
    expect(await code("history_remove", {})).toBe(107);
  });

  test("remove what is kept, but not the place that it had", async () => {
    const before = (await call("publish", { channel: "removed", data: 1 })).result;
    expect(await call("history_remove", { channel: "removed" })).toEqual({ result: {} });
    expect((await call("history", { channel: "removed", limit: -1 })).result).toEqual({
      publications: [],
      epoch: before.epoch,
      offset: 1,
    });
    const after = (await call("publish", { channel: "removed", data: 2 })).result;
    expect(after).toEqual({ epoch: before.epoch, offset: 2 });
    expect(await call("history_remove", { channel: "never" })).toEqual({ result: {} });
  });
});

describe("channels and info", () => {
  test("tell the topics that somebody is in, all or by a pattern", async () => {
    await using own = await startRelay();
    const topics = ["news:a", "news:a/b", "news:.c", "__proto__", "other"];
    await own.connect(1, topics);
    await own.connect(1, ["news:a"]);
    const names = async (pattern?: string) =>
      Object.keys(
        (await call("channels", pattern === undefined ? {} : { pattern }, own)).result.channels,
      ).toSorted();
    expect(await names()).toEqual(topics.toSorted());
    expect(await names("")).toEqual(topics.toSorted());
    expect(await names("*")).toEqual(topics.toSorted());
    expect(await names("news:*")).toEqual(["news:.c", "news:a", "news:a/b"]);
    expect(await names("news:?")).toEqual(["news:a"]);
    expect(await names("*:{a,x}")).toEqual(["news:a"]);
    expect(await names("nothing")).toEqual([]);
    expect(await names("[")).toEqual([]);
    const { channels } = (await call("channels", { pattern: "news:a*" }, own)).result;
    expect(channels).toEqual({ "news:a": { num_clients: 2 }, "news:a/b": { num_clients: 1 } });
    const { nodes } = (await call("info", {}, own)).result;
    expect(nodes).toHaveLength(1);
    expect(nodes[0]).toMatchObject({
      name: "baton",
      num_clients: 2,
      num_users: 1,
      num_channels: 5,
      num_subs: 6,
    });
    for (const field of ["uid", "version"]) expect(nodes[0][field]).not.toBe("");
    expect(Number.isInteger(nodes[0].uptime)).toBe(true);
  });

  test("a pattern that could be matched in very many ways is answered", async () => {
    await using own = await startRelay();
    await own.connect(1, ["a".repeat(255)]);
    const pattern = `${"*a".repeat(100)}b`;
    expect(await call("channels", { pattern }, own)).toEqual({ result: { channels: {} } });
  });
});

describe("batch", () => {
  test("runs its commands one after the other, and answers each in its place", async () => {
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

  test("takes 1,000 commands and not one more", async () => {
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

describe("POST /api, as older libraries use it", () => {
  /** The answer is JSON by its type, but of one text for each command. */
  const commands = async (body: string) => {
    const response = await fetch(`${relay.url}/api`, { method: "POST", body });
    return { status: response.status, lines: (await response.text()).split("\n") };
  };

  test("obeys commands, one to a line, and answers each in its place", async () => {
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
    const bad = { error: { code: 107, message: "bad request" } };
    const unknown = { error: { code: 104, message: "method not found" } };
    const [empty, nothing, wrong, info] = others.map((line) => JSON.parse(line));
    expect([empty, nothing, wrong]).toEqual([bad, { id: 8, ...unknown }, bad]);
    expect(info.result.nodes).toHaveLength(1);
  });

  test("takes one command over many lines", async () => {
    const command = { method: "publish", params: { channel: "older lines", data: 1 } };
    const { lines } = await commands(JSON.stringify(command, null, 2));
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] as string).result.offset).toBe(1);
  });

  test("publishes nothing of a body that is not JSON, empty, or of too many commands", async () => {
    const command = '{"method":"publish","params":{"channel":"older none","data":1}}';
    expect((await commands(`${command}\n{`)).status).toBe(400);
    expect((await commands("")).status).toBe(400);
    expect((await commands(Array(1_001).fill(command).join("\n"))).status).toBe(413);
    const { result } = await call("history", { channel: "older none" });
    expect(result.offset).toBe(0);
  });

  test("needs a key where the relay has keys", async () => {
    const body = '{"method":"info"}';
    expect((await guarded.request("POST", "/api", { body })).status).toBe(401);
    const headers = { authorization: `apikey ${KEY}` };
    expect((await guarded.request("POST", "/api", { body, headers })).status).toBe(200);
  });
});

test("null is no other than what is not there, and names are good in any case, as libraries in Go rely on", async () => {
  const body = { channel: "go", limit: 1, since: null, reverse: null };
  expect((await call("history", body)).result.publications).toEqual([]);
  const session = await sessionOf("go");
  const Disconnect = { code: 3011, reason: "force reconnect" };
  await call("disconnect", { user: "go", Disconnect, ClientWhitelist: null }, guarded);
  expect(await session.closed).toEqual(Disconnect);
});

describe("the time that it takes grows with the work, not with its square", () => {
  /** The shortest of some runs, so that a pause of the machine counts for nothing. */
  const timeOf = async (run: () => Promise<unknown>): Promise<number> => {
    const times: number[] = [];
    for (let i = 0; i < 3; i++) {
      const begun = performance.now();
      await run();
      times.push(performance.now() - begun);
    }
    return Math.min(...times);
  };
  // Ten times the work takes about ten times as long; were it the square, a hundred times.
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
  }, 30_000);
});
