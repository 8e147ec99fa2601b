// GET /topics/:topic/history. Row E8 of the fault catalogue. (Presence is in test/relay/topics/presence.test.ts.)
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay();
});
afterAll(() => relay[Symbol.asyncDispose]());

describe("GET /topics/:topic/history", () => {
  const get = (path: string) => relay.request("GET", `/topics/${path}`);

  test("returns publications, also those to single users, from any offset in both directions", async () => {
    for (let i = 1; i <= 5; i++) {
      const to = i === 3 ? { user_id: 9 } : {};
      await relay.post("/publish", { topic: "past", message: `m${i}`, ...to });
    }
    await relay.request("POST", "/publish", {
      body: '{"topic":"past","data":{"x": 1.0}}',
      headers: { "content-type": "application/json" },
    });
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

  test("E8: returns 100 publications by default, and never more than 1,000", async () => {
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

  test("returns the position of a topic without publications", async () => {
    const { json } = await get("unborn/history");
    expect(json).toEqual({ offset: 0, epoch: json.epoch, publications: [] });
  });

  test("finds a topic of any name by its percent-encoding", async () => {
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
  ])("answers /topics/%s with %d %s", async (path, status, code) => {
    const answer = await get(path);
    expect([answer.status, answer.json.error.code]).toEqual([status, code]);
  });

  test("answers 404 for a topic without history, whose publications have no position", async () => {
    await using none = await startRelay({ BATON_HISTORY_SIZE: "0" });
    const published = await none.post("/publish", { topic: "t", message: "m" });
    expect(published.json).toEqual({ delivered: 0 });
    const { status, json } = await none.request("GET", "/topics/t/history");
    expect([status, json.error.code]).toEqual([404, "no_history"]);
  });

  test("requires a key when the relay has keys", async () => {
    await using guarded = await startRelay({ BATON_API_KEYS: "a-long-random-key" });
    expect((await guarded.request("GET", "/topics/t/history")).status).toBe(401);
    const init = { headers: { "x-api-key": "a-long-random-key" } };
    expect((await guarded.request("GET", "/topics/t/history", init)).status).toBe(200);
  });
});
