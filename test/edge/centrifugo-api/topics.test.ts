// Reading topics with the server API: presence, history, channels, and the nodes with info.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { callApi, startOpenRelay } from "../../support/centrifuge/server-api";
import { SessionClient } from "../../support/centrifuge/session-client";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startOpenRelay();
});
afterAll(() => relay[Symbol.asyncDispose]());

const call = (method: string, body: object, at: TestRelay = relay) => callApi(at, method, body);

const code = async (method: string, body: object) => (await call(method, body)).error?.code;

describe("/api/presence and /api/presence_stats", () => {
  test("list and count the clients in a topic", async () => {
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

  test.each(["presence", "presence_stats"])(
    "/api/%s answers 108 for a topic without presence and 107 without a topic",
    async (of) => {
      expect(await code(of, { channel: "other" })).toBe(108);
      expect(await code(of, { channel: "" })).toBe(107);
      expect(await code(of, {})).toBe(107);
      expect((await call(of, { channel: "seen:nobody" })).result).toBeDefined();
    },
  );
});

describe("/api/history and /api/history_remove", () => {
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

  test("return publications from any offset in both directions, up to a limit", async () => {
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

  test("never return more than 300 publications", async () => {
    const commands = Array(310).fill({ publish: { channel: "long", data: 1 } });
    await using deep = await startRelay({ BATON_HISTORY_SIZE: "1000" });
    await call("batch", { commands }, deep);
    for (const limit of [-1, 1_000_000]) {
      const { result } = await call("history", { channel: "long", limit }, deep);
      expect([result.publications.length, result.offset]).toEqual([300, 310]);
    }
  });

  test("refuse another epoch, an impossible offset and a missing topic", async () => {
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

  test("remove the publications of a topic, but keep its offset and epoch", async () => {
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

describe("/api/channels and /api/info", () => {
  test("list the topics with subscribers, all of them or by a pattern", async () => {
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

  test("answer a pattern that could match in very many ways", async () => {
    await using own = await startRelay();
    await own.connect(1, ["a".repeat(255)]);
    const pattern = `${"*a".repeat(100)}b`;
    expect(await call("channels", { pattern }, own)).toEqual({ result: { channels: {} } });
  });
});
