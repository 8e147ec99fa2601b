// What publications look like in the JSON format, and on a plain socket next to it.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { JsonClient } from "../../support/clients/json-client";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";

/** How many publications a topic keeps here. */
const HISTORY_SIZE = 10;

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({
    BATON_HISTORY_SIZE: String(HISTORY_SIZE),
    BATON_TOPICS_FILE: topicsFile({ "typing:": { history_size: 0 } }),
  });
});
afterAll(() => relay[Symbol.asyncDispose]());

describe("a publication in the JSON format", () => {
  test("is an envelope with topic and position, its text a JSON string", async () => {
    const client = await JsonClient.connect(relay);
    await client.choose(["text"]);
    const messages = ["hi", "", 'a "quote"\\\n\u0000', "é😀\u2028", '{"x":1}'];
    for (const message of messages) await relay.publish("text", message);
    const { epoch } = await relay
      .post("/publish", { topic: "text", message: "" })
      .then((a) => a.json);
    for (const [i, message] of messages.entries()) {
      const frame = await client.nextText();
      const position = `"offset":${i + 1},"epoch":"${epoch}"`;
      expect(frame).toBe(`{"topic":"text","data":${JSON.stringify(message)},${position}}`);
    }
  });

  test("of JSON data keeps the bytes that came in, live and recovered", async () => {
    const data = '{"x": 1.0, "big":12345678901234567890, "\\u0041":"\\u00e9"}';
    const url = await relay.register();
    const client = await JsonClient.open(relay, url);
    const { exact: before } = await client.choose(["exact"]);
    const body = `{"topic":"exact","data":${data}}`;
    const headers = { "content-type": "application/json" };
    const { json: at } = await relay.request("POST", "/publish", { body, headers });
    const frame = `{"topic":"exact","data":${data},"offset":1,"epoch":"${at.epoch}"}`;
    expect(await client.nextText()).toBe(frame);
    await client.leave();
    const back = await JsonClient.open(relay, url);
    expect((await back.choose(["exact"], { exact: before })).exact.recovered).toBe(true);
    expect(await back.nextText()).toBe(frame);
  });

  test("has no position if the topic keeps no history, by a rule or by the settings", async () => {
    const client = await JsonClient.connect(relay);
    expect(await client.choose(["typing:a"])).toEqual({ "typing:a": {} });
    await relay.publish("typing:a", "m");
    expect(await client.nextText()).toBe('{"topic":"typing:a","data":"m"}');
    await using none = await startRelay({ BATON_HISTORY_SIZE: "0" });
    const other = await JsonClient.connect(none);
    other.send({ topics: ["a"], since: { a: { offset: 0, epoch: "abcdefgh" } } });
    expect(await other.next()).toEqual({ topics: { a: { recovered: false } } });
    await none.publish("a", "m");
    expect(await other.nextText()).toBe('{"topic":"a","data":"m"}');
  });

  test("is bare text on a plain socket, which knows no positions", async () => {
    const plain = await relay.connect(1, ["bare"]);
    await relay.publish("bare", "m");
    expect(await plain.next()).toBe("m");
    plain.send({ topics: ["bare"], since: {} });
    expect(JSON.parse(await plain.next()).error.code).toBe("invalid_frame");
    plain.send({ topics: ["bare", "more"] });
    expect(await plain.rest()).toEqual([]);
  });
});
