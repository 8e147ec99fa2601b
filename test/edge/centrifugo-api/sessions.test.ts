// Acting on sessions with the server API: subscribe, unsubscribe, disconnect and refresh.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { inSeconds } from "../../support/centrifuge/sdk";
import {
  callApi,
  KEY,
  sessionOf,
  startGuardedRelay,
  startOpenRelay,
} from "../../support/centrifuge/server-api";
import { SessionClient } from "../../support/centrifuge/session-client";
import { idOf, type TestRelay } from "../../support/relay/test-relay";

let relay: TestRelay;
let guarded: TestRelay;
beforeAll(async () => {
  [relay, guarded] = await Promise.all([startOpenRelay(), startGuardedRelay()]);
});
afterAll(() => Promise.all([relay[Symbol.asyncDispose](), guarded[Symbol.asyncDispose]()]));

const call = (method: string, body: object, at: TestRelay = relay) => callApi(at, method, body);

const code = async (method: string, body: object) => (await call(method, body)).error?.code;

describe("/api/subscribe and /api/unsubscribe", () => {
  test("subscribe a user's sessions with info, data and a position, and unsubscribe them", async () => {
    const session = await sessionOf(guarded, "given");
    const other = await sessionOf(guarded, "not given");
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

  test("unsubscribe a user from all topics when no topic is given", async () => {
    const session = await sessionOf(guarded, "all");
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

  test("change nothing for a session that has the topic already, or belongs to another user", async () => {
    const session = await SessionClient.connect(relay, { topics: ["had"] });
    expect(await call("subscribe", { client: session.id, channel: "had" })).toEqual({ result: {} });
    const body = { client: session.id, user: "another", channel: "new" };
    expect(await call("subscribe", body)).toEqual({ result: {} });
    expect(await session.rest()).toEqual([]);
    session.drop();
  });

  test("require a selector and a valid topic", async () => {
    expect(await code("subscribe", { channel: "t" })).toBe(107);
    expect(await code("subscribe", { user: "", channel: "t" })).toBe(107);
    expect(await code("subscribe", { user: "u" })).toBe(107);
    expect(await code("subscribe", { user: "u", channel: "\n" })).toBe(107);
    expect(await code("subscribe", { user: "u", channel: "t", b64info: "e" })).toBe(107);
    expect(await code("unsubscribe", { channel: "t" })).toBe(107);
  });

  test("tell the session that it did not recover when the epoch has changed", async () => {
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

describe("/api/disconnect", () => {
  test("closes a user's connections of all protocols, except those on the whitelist", async () => {
    const session = await sessionOf(guarded, "ended");
    const spared = await sessionOf(guarded, "ended");
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

  test("closes one client by its id, and never without a reason", async () => {
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

  test("closes with 3503 for code 0 and an empty reason, which libraries send by default", async () => {
    const session = await sessionOf(guarded, "zero");
    await call("disconnect", { user: "zero", disconnect: { code: 0, reason: "" } }, guarded);
    expect(await session.closed).toEqual({ code: 3503, reason: "force disconnect" });
  });

  test("requires a selector, a code from 3000 to 4999 and a short reason", async () => {
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

describe("/api/refresh", () => {
  test("ends an expired session at once", async () => {
    const session = await sessionOf(guarded, "expired");
    await call("refresh", { user: "expired", expired: true }, guarded);
    expect(await session.closed).toEqual({ code: 3005, reason: "connection expired" });
  });

  test("prolongs a session, and requires a selector", async () => {
    const session = await sessionOf(guarded, "longer", { exp: inSeconds(60) });
    const body = { client: session.id, expire_at: inSeconds(3_600) };
    expect(await call("refresh", body, guarded)).toEqual({ result: {} });
    expect(await session.rest()).toEqual([]);
    expect(await code("refresh", { expired: true })).toBe(107);
  });
});
