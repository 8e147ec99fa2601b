// POST /publish beyond the base API: data, except, arrays and idempotency keys. Rows A11, A12 and A16 of the fault catalogue.
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

describe("POST /publish with data", () => {
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

  test.each(EXACT)("delivers any JSON with its bytes unchanged: %s", async (data) => {
    const plain = await relay.connect(1, ["exact"]);
    const enveloped = await relay.open(`${await relay.register()}?format=json`, ["exact"]);
    await enveloped.next();
    await publishText(`{"topic":"exact", "data" : ${data} }`);
    expect(await plain.next()).toBe(data);
    expect(await enveloped.next()).toStartWith(`{"topic":"exact","data":${data},"offset":`);
    await Promise.all([plain.close(), enveloped.close()]);
    expect(({} as { x?: number }).x).toBeUndefined();
  });

  test("delivers a JSON string to a plain socket as its content, and to others as JSON", async () => {
    const plain = await relay.connect(1, ["string"]);
    const enveloped = await relay.open(`${await relay.register()}?format=json`, ["string"]);
    await enveloped.next();
    await publishText('{"topic":"string","data":"a \\"quoted\\" \\u0041"}');
    expect(await plain.next()).toBe('a "quoted" A');
    expect(await enveloped.next()).toContain('"data":"a \\"quoted\\" \\u0041"');
  });

  test("limits the size of data like that of a message, by its bytes", async () => {
    const fits = `"${"é".repeat(499)}"`;
    expect((await publishText(`{"topic":"t","data":${fits}}`)).status).toBe(200);
    const answer = await publishText(`{"topic":"t","data":"${"é".repeat(500)}"}`);
    expect([answer.status, answer.json.error.code]).toEqual([413, "message_too_large"]);
  });

  test.each([
    ["that is nested too deeply", `{"topic":"t","data":${"[".repeat(129)}${"]".repeat(129)}}`, 422],
    ["that is a string with a lone surrogate", '{"topic":"t","data":"\\ud800"}', 422],
    ["together with a message", '{"topic":"t","data":1,"message":"m"}', 422],
  ])("refuses data %s", async (_, body, status) => {
    expect((await publishText(body)).status).toBe(status);
  });

  test("refuses data that is nested 30,000 levels deep", async () => {
    await using large = await startRelay();
    const data = "[".repeat(30_000) + "]".repeat(30_000);
    const answer = await large.request("POST", "/publish", {
      body: `{"topic":"t","data":${data}}`,
      headers: { "content-type": "application/json" },
    });
    expect([answer.status, answer.json.error.code]).toEqual([422, "invalid_message"]);
  });

  test("cuts data out of any JSON text exactly as it stands", () => {
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

describe("POST /publish with except", () => {
  test("skips that connection on every kind of publish, and does not count it", async () => {
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

  test("changes nothing when that connection has other topics or does not exist", async () => {
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

describe("POST /publish with event", () => {
  test.each([
    ["is empty", ""],
    ["has more than 200 characters", "é".repeat(201)],
    ["has a control character", "a\nb"],
    ["has a lone surrogate", "a\ud800"],
  ])("refuses a name that %s", async (_, event) => {
    const answer = await relay.post("/publish", { topic: "t", message: "m", event });
    expect([answer.status, answer.json.error.code]).toEqual([422, "invalid_event"]);
  });

  test("takes a name of 200 characters, and changes nothing for plain clients", async () => {
    const client = await relay.connect(9, ["named"]);
    const body = { topic: "named", message: "m", event: "😀".repeat(200) };
    expect((await relay.post("/publish", body)).json.delivered).toBe(1);
    expect(await client.next()).toBe("m");
  });
});

describe("POST /publish with an array", () => {
  test("answers each item in its place, and a bad item does not affect the others", async () => {
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

  test("accepts 1,000 publications and no more", async () => {
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

describe("POST /publish with an idempotency key", () => {
  const once = (body: object, key: string) =>
    relay.post("/publish", body, { "idempotency-key": key });

  test("returns the first answer to repetitions and publishes once, even for 50 requests at once", async () => {
    const client = await relay.connect(1, ["once"]);
    const body = { topic: "once", message: "m" };
    const answers = await Promise.all(Array.from({ length: 50 }, () => once(body, "key-1")));
    for (const { status, json } of answers) {
      expect([status, json]).toEqual([200, { ...answers[0]?.json, offset: 1 }]);
    }
    expect(await client.next()).toBe("m");
    expect(await client.rest()).toEqual([]);
  });

  test("refuses another publication in the same topic with 409, and accepts the key in another topic", async () => {
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

  test("derives a key for each place of an array, and items may have their own", async () => {
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

  test.each([
    ["order 1"],
    [" "],
    ["Größe"],
    ["x".repeat(1_024)],
    ["é".repeat(512)],
    ["https://shop.example/orders?id=1&day=2026-11-28#top"],
    ["😀\u2028"],
  ])("takes any text of up to 1,024 bytes as a key in the body: %j", async (key) => {
    const body = { topic: "k5", data: key.slice(0, 9), idempotency_key: key };
    const first = await relay.post("/publish", body);
    expect(first.status).toBe(200);
    expect((await relay.post("/publish", [body])).json).toEqual([first.json]);
  });

  test.each(["", "x".repeat(1_025), "é".repeat(513), "a\u0000", "a\nb", "\u0085", "\ud800"])(
    "refuses a key that is no such text: %j",
    async (key) => {
      const body = { topic: "k4", message: "m", idempotency_key: key };
      const { status, json } = await relay.post("/publish", body);
      expect([status, json.error.code]).toEqual([422, "invalid_idempotency_key"]);
    },
  );

  test.each(["with space", "x".repeat(256), "é", ""])(
    "refuses a key in the header that is not 1 to 255 visible ASCII characters: %j",
    async (key) => {
      const body = { topic: "k6", message: "m" };
      const headers = { "idempotency-key": key };
      const { status, json } = await relay.post("/publish", body, headers);
      expect([status, json.error.code]).toEqual([422, "invalid_idempotency_key"]);
      const own = { ...body, idempotency_key: "own key" };
      const batch = await relay.post("/publish", [body, own], headers);
      expect(batch.json[0].error.code).toBe("invalid_idempotency_key");
      expect(batch.json[1]).toEqual((await relay.post("/publish", own, headers)).json);
    },
  );

  test("takes the longest key in the header for every place of an array", async () => {
    const headers = { "idempotency-key": "~".repeat(255) };
    const items = Array.from({ length: 1_000 }, () => ({ topic: "k7", message: "m" }));
    const first = await relay.post("/publish", items, headers);
    expect(first.json.at(-1).offset).toBe(1_000);
    expect((await relay.post("/publish", items, headers)).json).toEqual(first.json);
  });

  test("accepts a key again after BATON_IDEMPOTENCY_MS, and forgets the oldest beyond BATON_IDEMPOTENCY_MAX", async () => {
    await using small = await startRelay({
      BATON_IDEMPOTENCY_MAX: "2",
      BATON_IDEMPOTENCY_MS: "1500",
    });
    const publish = async (key: string) => {
      const answer = await small.post("/publish", {
        topic: "t",
        message: key,
        idempotency_key: key,
      });
      return answer.json.offset;
    };
    expect([await publish("a"), await publish("b"), await publish("c")]).toEqual([1, 2, 3]);
    expect([await publish("c"), await publish("a")]).toEqual([3, 4]);
    await until("key c to expire", async () => (await publish("c")) === 5);
  });

  test("accepts any number of new keys: 110 arrays of 1,000", async () => {
    await using small = await startRelay({ BATON_IDEMPOTENCY_MAX: "10000" });
    for (let n = 0; n < 110; n++) {
      const items = Array.from({ length: 1_000 }, (_, i) => ({
        topic: "t",
        message: "m",
        idempotency_key: `${n}.${i}`,
      }));
      const { json } = await small.post("/publish", items);
      expect(json.at(-1).offset).toBe(1_000 * (n + 1));
    }
  });
});

const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

test("POST /publish with a traceparent logs each of its publications with it at debug, and no other", async () => {
  await using relay = await startRelay({ BATON_LOG_LEVEL: "debug" });
  const traced = () =>
    relay.log.filter((line) => line.includes("traceparent")).map((line) => JSON.parse(line));
  await relay.post("/publish", { topic: "t", message: "untraced" });
  await relay.post("/publish", { topic: "t", message: "m" }, { traceparent: "00-0-0-01" });
  expect(traced()).toEqual([]);
  await relay.post("/publish", { topic: "t", message: "m" }, { traceparent: TRACEPARENT });
  const batch = [
    { topic: "t", message: "m" },
    { topic: "", message: "m" },
  ];
  await relay.post("/publish", batch, { traceparent: TRACEPARENT });
  expect(traced()).toMatchObject([
    { traceparent: TRACEPARENT, topic: "t", offset: 3, msg: "published" },
    { traceparent: TRACEPARENT, topic: "t", offset: 4, msg: "published" },
    { traceparent: TRACEPARENT, code: "invalid_topic", msg: "refused" },
  ]);
});
