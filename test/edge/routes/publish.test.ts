// POST /publish beyond the base API, and the history of a topic. Rows A11 to A16 and E8 of the fault catalogue.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { rawMembers } from "../../../src/relay/text/json";
import { idOf, startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ BATON_MESSAGE_BYTES: "1000" });
});
afterAll(() => relay[Symbol.asyncDispose]());

const publishText = (body: string, headers: Record<string, string> = {}) =>
  relay.request("POST", "/publish", {
    body,
    headers: { "content-type": "application/json", ...headers },
  });

describe("data", () => {
  const EXACT = [
    '{"price": 1.0, "big":12345678901234567890,\n\t"text":"\\u0041\\/é😀"}',
    "[1e400, -0, 1E+2]",
    '{"a":1,"a":2,"__proto__":{"x":1}}',
    "12345678901234567890",
    "null",
    "true",
    "[]",
    "{}",
  ];

  test.each(EXACT)("of any JSON arrives with its bytes unchanged: %s", async (data) => {
    const plain = await relay.connect(1, ["exact"]);
    const enveloped = await relay.open(`${await relay.register()}?format=json`, ["exact"]);
    await enveloped.next();
    await publishText(`{"topic":"exact", "data" : ${data} }`);
    expect(await plain.next()).toBe(data);
    expect(await enveloped.next()).toStartWith(`{"topic":"exact","data":${data},"offset":`);
    await Promise.all([plain.close(), enveloped.close()]);
    expect(({} as { x?: number }).x).toBeUndefined();
  });

  test("that is a JSON string goes to a plain socket as its content, to others as it is", async () => {
    const plain = await relay.connect(1, ["string"]);
    const enveloped = await relay.open(`${await relay.register()}?format=json`, ["string"]);
    await enveloped.next();
    await publishText('{"topic":"string","data":"a \\"quoted\\" \\u0041"}');
    expect(await plain.next()).toBe('a "quoted" A');
    expect(await enveloped.next()).toContain('"data":"a \\"quoted\\" \\u0041"');
  });

  test("is bounded like a message, by the bytes that it has", async () => {
    const fits = `"${"é".repeat(499)}"`;
    expect((await publishText(`{"topic":"t","data":${fits}}`)).status).toBe(200);
    const answer = await publishText(`{"topic":"t","data":"${"é".repeat(500)}"}`);
    expect([answer.status, answer.json.error.code]).toEqual([413, "message_too_large"]);
  });

  test.each([
    ["nested too deeply", `{"topic":"t","data":${"[".repeat(129)}${"]".repeat(129)}}`, 422],
    ["a string with a lone surrogate", '{"topic":"t","data":"\\ud800"}', 422],
    ["beside a message", '{"topic":"t","data":1,"message":"m"}', 422],
  ])("%s is refused", async (_, body, status) => {
    expect((await publishText(body)).status).toBe(status);
  });

  test("nested 100,000 levels deep is refused and costs nobody anything", async () => {
    await using large = await startRelay();
    const data = "[".repeat(30_000) + "]".repeat(30_000);
    const answer = await large.request("POST", "/publish", {
      body: `{"topic":"t","data":${data}}`,
      headers: { "content-type": "application/json" },
    });
    expect([answer.status, answer.json.error.code]).toEqual([422, "invalid_message"]);
  });

  test("is cut out of any JSON text just as it stands", () => {
    const space = fc.stringMatching(/^[ \n\t\r]{0,3}$/);
    const value = fc.json({ maxDepth: 4 });
    fc.assert(
      fc.property(space, value, value, fc.string(), (s, data, other, name) => {
        const key = JSON.stringify(name === "data" ? "x" : name);
        const object = `${s}{${s}${key}${s}:${other}${s},${s}"data"${s}:${s}${data}${s}}`;
        expect(rawMembers(object, "data")).toEqual([data]);
        const array = `${s}[${s}${object}${s},${other},${s}{}${s},{"\\u0064ata":${data}}]`;
        const inOther = /^\s*\{/.test(other) ? rawMembers(other, "data")[0] : undefined;
        expect(rawMembers(array, "data")).toEqual([data, inOther, undefined, data]);
      }),
      { numRuns: 500 },
    );
  });
});

describe("except", () => {
  test("leaves one connection out, on every kind of publish, and counts it out", async () => {
    const topics = ["left"];
    const url = await relay.register(7);
    const left = await relay.open(url, topics);
    const right = await relay.connect(7, topics);
    const body = { topic: "left", message: "a", except: idOf(url) };
    expect((await relay.post("/publish", body)).json.delivered).toBe(1);
    expect((await relay.post("/publish", { ...body, user_id: 7 })).json.delivered).toBe(1);
    await relay.post("/publish", { topic: "left", message: "b" });
    expect(await right.take(3)).toEqual(["a", "a", "b"]);
    expect(await left.next()).toBe("b");
  });

  test("of a connection that is elsewhere, or is none, changes nothing", async () => {
    const url = await relay.register(8);
    await relay.open(url, ["elsewhere"]);
    const client = await relay.connect(8, ["here"]);
    for (const except of [idOf(url), "nobody", "__proto__"]) {
      const answer = await relay.post("/publish", { topic: "here", message: except, except });
      expect(answer.json.delivered).toBe(1);
      expect(await client.next()).toBe(except);
    }
  });
});

describe("an array", () => {
  test("is answered one by one, in its order: a bad item takes nothing from the others", async () => {
    const client = await relay.connect(1, ["batch"]);
    const answer = await publishText(
      '[{"topic":"batch","message":"a"}, {"topic":"","message":"b"}, 7, {"topic":"batch","data":[1.0]},{"topic":"batch"}]',
    );
    expect(answer.status).toBe(200);
    const [first, second, third, fourth, fifth] = answer.json;
    expect(first).toEqual({ delivered: 1, offset: 1, epoch: first.epoch });
    expect(second.error.code).toBe("invalid_topic");
    expect(third.error.code).toBe("invalid_body");
    expect(fourth).toEqual({ delivered: 1, offset: 2, epoch: first.epoch });
    expect(fifth.error.code).toBe("invalid_body");
    expect(await client.take(2)).toEqual(["a", "[1.0]"]);
  });

  test("may have 1,000 publications and not one more", async () => {
    const item = { topic: "many", message: "m" };
    const client = await relay.connect(1, ["many"]);
    const answer = await relay.post("/publish", Array(1_000).fill(item));
    expect(answer.json).toHaveLength(1_000);
    expect(answer.json.at(-1).offset).toBe(1_000);
    expect(await client.take(1_000)).toHaveLength(1_000);
    const refused = await relay.post("/publish", Array(1_001).fill(item));
    expect([refused.status, refused.json.error.code]).toEqual([413, "batch_too_large"]);
    expect((await relay.post("/publish", [])).json).toEqual([]);
  });
});

describe("an idempotency key", () => {
  const once = (body: object, key: string) =>
    relay.post("/publish", body, { "idempotency-key": key });

  test("gives the first answer again and publishes nothing, also 50 times at once", async () => {
    const client = await relay.connect(1, ["once"]);
    const body = { topic: "once", message: "m" };
    const answers = await Promise.all(Array.from({ length: 50 }, () => once(body, "key-1")));
    for (const { status, json } of answers) {
      expect([status, json]).toEqual([200, { ...answers[0]?.json, offset: 1 }]);
    }
    expect(await client.next()).toBe("m");
    expect(await client.rest()).toEqual([]);
  });

  test("is one for each topic, and refuses another publication with 409", async () => {
    expect((await once({ topic: "k1", message: "m" }, "key-2")).json.offset).toBe(1);
    expect((await once({ topic: "k2", message: "m" }, "key-2")).json.offset).toBe(1);
    const variants = [
      { topic: "k1", message: "n" },
      { topic: "k1", message: "m", user_id: 1 },
      { topic: "k1", data: "m" },
      { topic: "k1", message: "m", except: "x" },
    ];
    for (const body of variants) {
      const { status, json } = await once(body, "key-2");
      expect([status, json.error.code]).toEqual([409, "idempotency_conflict"]);
    }
  });

  test("of an array stands for one of its own at each place; items may have their own", async () => {
    const items = [
      { topic: "k3", message: "m" },
      { topic: "k3", message: "m" },
      { topic: "k3", message: "m", idempotency_key: "mine" },
    ];
    const first = await relay.post("/publish", items, { "idempotency-key": "key-3" });
    expect(first.json.map(({ offset }: { offset: number }) => offset)).toEqual([1, 2, 3]);
    const again = await relay.post("/publish", items, { "idempotency-key": "key-3" });
    expect(again.json).toEqual(first.json);
    const mine = await relay.post("/publish", { ...items[2] });
    expect(mine.json).toEqual(first.json[2]);
  });

  test.each(["", " ", "with space", "x".repeat(256), "é"])("like %j is refused", async (key) => {
    const body = { topic: "k4", message: "m", idempotency_key: key };
    const { status, json } = await relay.post("/publish", body);
    expect([status, json.error.code]).toEqual([422, "invalid_idempotency_key"]);
  });

  test("is new when its time is over, and has a limit that says so", async () => {
    await using small = await startRelay({
      BATON_IDEMPOTENCY_MAX: "2",
      BATON_IDEMPOTENCY_MS: "1500",
    });
    const publish = (key: string) =>
      small.post("/publish", { topic: "t", message: key, idempotency_key: key });
    expect((await publish("a")).json.offset).toBe(1);
    expect((await publish("b")).json.offset).toBe(2);
    const refused = await publish("c");
    expect([refused.status, refused.json.error.code]).toEqual([429, "too_many_idempotency_keys"]);
    expect(refused.headers.get("retry-after")).not.toBeNull();
    expect((await publish("a")).json.offset).toBe(1);
    await until("a's time to be over", async () => (await publish("c")).status === 200);
    // Where the machine was slow, b's time is not over yet.
    await until("b's time to be over", async () => (await publish("a")).json.offset === 4);
  });
});

describe("GET /topics/:topic/history", () => {
  const get = (path: string) => relay.request("GET", `/topics/${path}`);

  test("gives what was published, to single users too, from any offset, both ways", async () => {
    for (let i = 1; i <= 5; i++) {
      const to = i === 3 ? { user_id: 9 } : {};
      await relay.post("/publish", { topic: "past", message: `m${i}`, ...to });
    }
    await publishText('{"topic":"past","data":{"x": 1.0}}');
    const all = await get("past/history");
    const { epoch } = all.json;
    expect(all.text).toBe(
      `{"offset":6,"epoch":"${epoch}","publications":[{"offset":1,"data":"m1"},{"offset":2,"data":"m2"},` +
        '{"offset":3,"data":"m3","user_id":"9"},{"offset":4,"data":"m4"},{"offset":5,"data":"m5"},{"offset":6,"data":{"x": 1.0}}]}',
    );
    const offsets = async (queryString: string) =>
      (await get(`past/history?${queryString}`)).json.publications.map(
        ({ offset }: { offset: number }) => offset,
      );
    expect(await offsets("since=2&limit=2")).toEqual([3, 4]);
    expect(await offsets("reverse=true&limit=2")).toEqual([6, 5]);
    expect(await offsets("reverse=1&since=3")).toEqual([2, 1]);
    expect(await offsets("since=6")).toEqual([]);
    expect(await offsets("since=700")).toEqual([]);
    expect(await offsets("limit=0")).toEqual([]);
    expect(await offsets(`since=4&epoch=${epoch}`)).toEqual([5, 6]);
  });

  test("E8: gives 100 unless more are asked for, and never more than 1,000", async () => {
    await using deep = await startRelay({ BATON_HISTORY_SIZE: "2000" });
    const item = { topic: "deep", message: "m" };
    await deep.post("/publish", Array(1_000).fill(item));
    await deep.post("/publish", Array(500).fill(item));
    const count = async (queryString: string) =>
      (await deep.request("GET", `/topics/deep/history${queryString}`)).json.publications.length;
    expect(await count("")).toBe(100);
    expect(await count("?limit=1000000000")).toBe(1_000);
    expect(await count("?limit=700")).toBe(700);
  });

  test("of a topic that has no publication yet has its position", async () => {
    const { json } = await get("unborn/history");
    expect(json).toEqual({ offset: 0, epoch: json.epoch, publications: [] });
  });

  test("of a name with any characters is found under its percent-encoding", async () => {
    const topic = "a/b ?&#é😀";
    await relay.publish(topic, "m");
    const { json } = await get(`${encodeURIComponent(topic)}/history`);
    expect(json.publications).toEqual([{ offset: 1, data: "m" }]);
  });

  test.each([
    ["t/history?since=-1", 422, "invalid_query"],
    ["t/history?since=1.5", 422, "invalid_query"],
    ["t/history?since=9007199254740993", 422, "invalid_query"],
    ["t/history?limit=", 422, "invalid_query"],
    ["t/history?reverse=yes", 422, "invalid_query"],
    ["t/history?limit=1&limit=2", 422, "invalid_query"],
    ["t/history?__proto__=1", 422, "invalid_query"],
    ["t/history?epoch=other", 409, "unrecoverable_position"],
    ["%00/history", 422, "invalid_topic"],
    ["%0a/history", 422, "invalid_topic"],
    [`${"x".repeat(256)}/history`, 422, "invalid_topic"],
  ])("%s answers %d %s", async (path, status, code) => {
    const answer = await get(path);
    expect([answer.status, answer.json.error.code]).toEqual([status, code]);
  });

  test("of a topic that keeps none answers 404, and so does its publish: without a position", async () => {
    await using none = await startRelay({ BATON_HISTORY_SIZE: "0" });
    const published = await none.post("/publish", { topic: "t", message: "m" });
    expect(published.json).toEqual({ delivered: 0 });
    const { status, json } = await none.request("GET", "/topics/t/history");
    expect([status, json.error.code]).toEqual([404, "no_history"]);
  });

  test("needs a key where the relay has keys", async () => {
    await using guarded = await startRelay({ BATON_API_KEYS: "a-long-random-key" });
    expect((await guarded.request("GET", "/topics/t/history")).status).toBe(401);
    const init = { headers: { "x-api-key": "a-long-random-key" } };
    expect((await guarded.request("GET", "/topics/t/history", init)).status).toBe(200);
  });
});
