// POST /publish with lines of JSON: a publication a line, an answer a line, in a request that may stay open.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { OpenPublish } from "../../support/relay/open-publish";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

const BODY_BYTES = 131_072;

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ BATON_BODY_BYTES: String(BODY_BYTES), BATON_MESSAGE_BYTES: "1000" });
});
afterAll(() => relay[Symbol.asyncDispose]());

// biome-ignore lint/suspicious/noExplicitAny: answers of any shape
type Json = any;

const LINES = { "content-type": "application/x-ndjson" };

/** POSTs a body of lines whole. */
async function post(body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) {
  const answer = await relay.request("POST", "/publish", {
    body,
    headers: { ...LINES, ...headers },
  });
  return { status: answer.status, answers: parsed(answer.text) };
}

function parsed(text: string): Json[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

describe("POST /publish with lines", () => {
  test("publishes each line and answers each in order, the last one without a line feed too", async () => {
    const client = await relay.connect(1, ["order"]);
    const { status, answers } = await post(
      '{"topic":"order","message":"a"}\n{"topic":"order","data":{"price": 1.0}}\n{"topic":"order","message":"é😀"}',
    );
    expect(status).toBe(200);
    expect(answers.map(({ delivered, offset }) => [delivered, offset])).toEqual([
      [1, 1],
      [1, 2],
      [1, 3],
    ]);
    expect(await client.take(3)).toEqual(["a", '{"price": 1.0}', "é😀"]);
  });

  test("answers a bad line with its error and number, and publishes the others", async () => {
    const client = await relay.connect(1, ["bad"]);
    const good = '{"topic":"bad","message":"m"}\n';
    const { status, answers } = await post(
      Buffer.concat([
        Buffer.from(`${good}\r\n{"topic":""}\n\nnope\n`),
        Uint8Array.of(0xff, 0x0a),
        Buffer.from(
          `["${"x".repeat(BODY_BYTES)}"]\n[${good.trim()}]\r\n{"topic":"bad","message":"${"é".repeat(501)}"}\n${good}`,
        ),
      ]),
    );
    expect(status).toBe(200);
    const errors = answers.slice(1, -1).map(({ error, line }) => [line, error.code]);
    expect(errors).toEqual([
      [3, "invalid_topic"],
      [5, "malformed_json"],
      [6, "malformed_json"],
      [7, "body_too_large"],
      [8, "invalid_body"],
      [9, "message_too_large"],
    ]);
    expect(answers[1].error.message).toBeString();
    expect([answers[0].offset, answers.at(-1).offset]).toEqual([1, 2]);
    expect(await client.take(2)).toEqual(["m", "m"]);
  });

  test.each([
    ['{"topic":"one","message":"m"}'],
    ['{"topic":"one","data":[1.0],"user_id":7}\r\n'],
    ["nope"],
    ['{"topic":""}\n'],
    [`{"topic":"one","message":"${"x".repeat(1_001)}"}`],
  ])("of which there is one answers as its JSON would be answered: %.40s", async (line) => {
    const json = await relay.request("POST", "/publish", {
      body: line,
      headers: { "content-type": "application/json" },
    });
    const { status, answers } = await post(line);
    expect([status, answers.length]).toEqual([json.status, 1]);
    expect(answers[0].error?.code).toBe(json.json.error?.code);
    expect(Object.keys(answers[0])).toEqual(Object.keys(json.json));
  });

  test("of which there are none has no answer", async () => {
    expect(await post("")).toEqual({ status: 200, answers: [] });
    expect(await post("\n\r\n\n")).toEqual({ status: 200, answers: [] });
  });

  test.each([
    ["application/x-ndjson"],
    ["application/ndjson; charset=utf-8"],
    ["Application/JSONL"],
    ["application/jsonlines"],
  ])("takes the content type %s", async (type) => {
    const { status, answers } = await post("{}\n{}", { "content-type": type });
    expect([status, answers.length]).toEqual([200, 2]);
  });

  test.each([
    [{ "content-type": "application/x-ndjson; charset=utf-16" }, 415, "unsupported_media_type"],
    [{ "content-encoding": "gzip" }, 415, "unsupported_media_type"],
  ])("is refused with %j", async (headers, status, code) => {
    const answer = await post("{}\n{}", headers as Record<string, string>);
    expect([answer.status, answer.answers[0].error.code]).toEqual([status, code]);
  });

  test("needs an API key where there are keys", async () => {
    await using closed = await startRelay({ BATON_API_KEYS: "0123456789abcdef" });
    const body = '{"topic":"a","message":"m"}\n'.repeat(2);
    const refused = await closed.request("POST", "/publish", { body, headers: LINES });
    expect([refused.status, refused.json.error.code]).toEqual([401, "unauthorized"]);
    const headers = { ...LINES, "x-api-key": "0123456789abcdef" };
    const answer = await closed.request("POST", "/publish", { body, headers });
    expect([answer.status, parsed(answer.text).length]).toEqual([200, 2]);
  });

  test("answers a page with the headers that let it read the answers", async () => {
    const headers = { ...LINES, origin: "https://page.example" };
    const body = '{"topic":"page","message":"m"}\n'.repeat(3);
    const answer = await relay.request("POST", "/publish", { body, headers });
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    expect(parsed(answer.text).map(({ offset }) => offset)).toEqual([1, 2, 3]);
  });

  test("may be longer than a body of JSON", async () => {
    const line = `{"topic":"long","message":"${"x".repeat(900)}"}\n`;
    const { status, answers } = await post(line.repeat(1_000));
    expect(status).toBe(200);
    expect(answers.map(({ offset }) => offset)).toEqual(
      Array.from({ length: 1_000 }, (_, i) => i + 1),
    );
  });

  test("that are ten times too long are skipped, whatever comes after them is published", async () => {
    const open = await OpenPublish.open(relay.port);
    for (let i = 0; i < 10; i++) open.send("x".repeat(BODY_BYTES));
    open.send("\n");
    expect((await open.next()).error.code).toBe("body_too_large");
    open.publish("after", "m");
    expect((await open.next()).offset).toBe(1);
    open.raw.drop();
  });

  test("have the same answers, however the bytes are cut into chunks", async () => {
    const line = fc.constantFrom(
      '{"topic":"cut","message":"é😀"}',
      '{"topic":"cut","data":{"a":[1.0,"\\u00e9"]}}\r',
      '{"topic":"cut","message":"m","idempotency_key":"k"}',
      "",
      "nope",
      '{"topic":""}',
      "é",
    );
    await fc.assert(
      fc.asyncProperty(fc.array(line), fc.array(fc.nat()), async (some, seeds) => {
        const lines = ["{}", ...some, "{}"];
        const body = Buffer.from(lines.join("\n"));
        const cuts = new Set([...seeds.map((seed) => seed % body.length), body.length]);
        const open = await OpenPublish.open(relay.port);
        let begin = 0;
        for (const end of [...cuts].filter((at) => at > 0).sort((x, y) => x - y)) {
          open.send(body.subarray(begin, end));
          begin = end;
        }
        open.end();
        for (const [i, text] of lines.entries()) {
          if (text === "") continue;
          const [alone] = (await post(text)).answers;
          const { error, line: number } = await open.next();
          expect(error?.code).toBe(alone.error?.code);
          if (error !== undefined) expect(number).toBe(i + 1);
        }
        open.raw.drop();
      }),
      { numRuns: 50 },
    );
  });
});

describe("an idempotency key in lines", () => {
  test("publishes at most once, in a field or made from the header and the number of the line", async () => {
    const client = await relay.connect(1, ["keys"]);
    const body =
      '{"topic":"keys","message":"a"}\n{"topic":"keys","message":"b","idempotency_key":"mine"}\n\n{"topic":"keys","message":"a"}\n';
    const first = await post(body, { "idempotency-key": "header" });
    expect(first.answers.map(({ offset }) => offset)).toEqual([1, 2, 3]);
    expect(await post(body, { "idempotency-key": "header" })).toEqual(first);
    expect(await client.take(3)).toEqual(["a", "b", "a"]);
    expect(await client.rest()).toEqual([]);
  });

  test("of the header is that of the only line, as it is with JSON", async () => {
    const body = '{"topic":"key","message":"a"}';
    const first = await post(body, { "idempotency-key": "only" });
    const json = { "content-type": "application/json", "idempotency-key": "only" };
    const second = await relay.request("POST", "/publish", { body, headers: json });
    expect(second.json).toEqual(first.answers[0]);
  });

  test("of the header that cannot be a key is refused for each line without its own", async () => {
    const body =
      '{"topic":"key","message":"a"}\n{"topic":"key","message":"a","idempotency_key":"own"}';
    const { answers } = await post(body, { "idempotency-key": "a b" });
    expect(answers[0].error.code).toBe("invalid_idempotency_key");
    expect(answers[1].offset).toBeNumber();
  });
});
