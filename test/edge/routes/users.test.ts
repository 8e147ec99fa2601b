// How a backend lists the connections of users, and closes them by user or by id.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SessionClient } from "../../support/centrifuge/session-client";
import { EventStream } from "../../support/clients/event-stream";
import { idOf, startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";
import { until } from "../../support/wait";

const KEY = "a-long-random-key";

let relay: TestRelay;
beforeAll(async () => {
  const file = topicsFile({ "seen:": { presence: true } });
  relay = await startRelay({ BATON_TOPICS_FILE: file });
});
afterAll(() => relay[Symbol.asyncDispose]());

const get = (path: string) => relay.request("GET", path);
const end = (path: string) => relay.request("DELETE", path);

describe("GET /users/:user/connections", () => {
  test("lists each open connection with its protocol, topics and age", async () => {
    const before = Date.now();
    const url = await relay.register("lister");
    const plain = await relay.open(url, ["b", "a"]);
    const enveloped = `${await relay.register("lister")}?format=json`;
    const other = await relay.open(enveloped, ["c"]);
    const answer = await get("/users/lister/connections");
    const { connections } = answer.json;
    expect(answer.status).toBe(200);
    expect(connections[0]).toEqual({
      id: idOf(url),
      protocol: "plain",
      topics: ["b", "a"],
      since: connections[0].since,
      waiting_bytes: 0,
    });
    expect(connections[1]).toMatchObject({ protocol: "json", topics: ["c"] });
    // The wall clock and the process's clock differ by less than this.
    const since = Date.parse(connections[0].since);
    expect(since).toBeWithin(before - 1_000, Date.now() + 1_000);
    await Promise.all([plain.close(), other.close()]);
    await until("the user to be gone", async () => {
      return (await get("/users/lister/connections")).json.connections.length === 0;
    });
  });

  test("finds a user by any name that user_id accepts, percent-encoded", async () => {
    for (const user of ["a/b c?d#é😀", "%41", "...", "__proto__", "0", "007", "\u2028", "+", " "]) {
      const client = await relay.connect(user, ["t"]);
      const { json } = await get(`/users/${encodeURIComponent(user)}/connections`);
      expect([user, json.connections.length]).toEqual([user, 1]);
      await client.close();
    }
  });

  test("treats a whole number and its text as the same user", async () => {
    const client = await relay.connect(4_711, ["t"]);
    expect((await get("/users/4711/connections")).json.connections).toHaveLength(1);
    await client.close();
  });

  test("returns an empty list for an unknown user, and for one whose client has not connected", async () => {
    await relay.register("waiting");
    for (const user of ["nobody", "waiting", "constructor"]) {
      const { status, json } = await get(`/users/${user}/connections`);
      expect([status, json]).toEqual([200, { connections: [] }]);
    }
  });

  test.each([
    [`${"x".repeat(129)}/connections`, 422, "invalid_user"],
    ["%ff/connections", 400, "bad_request"],
    ["a/connections?limit=1", 422, "invalid_query"],
  ])("answers /users/%s with %d %s", async (path, status, code) => {
    const answer = await get(`/users/${path}`);
    expect([answer.status, answer.json.error.code]).toEqual([status, code]);
  });
});

describe("DELETE /users/:user/connections", () => {
  test("closes all connections of the user, of all protocols, and no others", async () => {
    const url = await relay.register("ended");
    const plain = await relay.open(url, ["t"]);
    const { json: registered } = await relay.post("/register", { user_id: "ended" });
    const stream = await EventStream.open(registered.sse);
    const other = await relay.connect("other", ["t"]);
    const answer = await end("/users/ended/connections?code=4003&reason=banned%20%F0%9F%98%80");
    expect([answer.status, answer.json]).toEqual([200, { disconnected: 2 }]);
    expect(await plain.closed).toEqual({ code: 4003, reason: "banned 😀" });
    expect(await stream.closed).toBe("ended");
    expect((await get("/users/ended/connections")).json.connections).toEqual([]);
    // Their registrations ended with them.
    expect((await end(`/register/${idOf(url)}`)).status).toBe(404);
    expect((await get(`/sse/${idOf(registered.sse)}`)).json.error.code).toBe("unknown_connection");
    expect(await other.rest()).toEqual([]);
    expect((await end("/users/ended/connections")).json).toEqual({ disconnected: 0 });
  });

  test("closes with 3503 force disconnect by default", async () => {
    for (const query of ["", "?reason=", "?code=3503"]) {
      const client = await relay.connect("told", ["t"]);
      await end(`/users/told/connections${query}`);
      expect(await client.closed).toEqual({ code: 3503, reason: "force disconnect" });
    }
  });

  test.each([
    ["code=2999", "invalid_query"],
    ["code=5000", "invalid_query"],
    ["code=", "invalid_query"],
    ["code=4e3", "invalid_query"],
    ["code=-4000", "invalid_query"],
    ["code=4000&code=4001", "invalid_query"],
    [`reason=${"x".repeat(124)}`, "invalid_query"],
    [`reason=${encodeURIComponent("é".repeat(62))}`, "invalid_query"],
    ["reason=%ff", "invalid_query"],
    ["why=1", "invalid_query"],
  ])("refuses ?%s and closes nothing", async (query, code) => {
    const client = await relay.connect("stays", ["t"]);
    const answer = await end(`/users/stays/connections?${query}`);
    expect([answer.status, answer.json.error.code]).toEqual([422, code]);
    expect(await client.rest()).toEqual([]);
    await client.close();
  });

  test("accepts the lowest and highest code and the longest reasons", async () => {
    for (const [code, reason] of [
      [3000, "é".repeat(61)],
      [4999, "x".repeat(123)],
    ] as const) {
      const client = await relay.connect("bound", ["t"]);
      await end(`/users/bound/connections?code=${code}&reason=${encodeURIComponent(reason)}`);
      expect(await client.closed).toEqual({ code, reason });
    }
  });
});

describe("DELETE /connections/:id", () => {
  test("closes only that connection", async () => {
    const url = await relay.register("two");
    const first = await relay.open(url, ["t"]);
    const second = await relay.connect("two", ["t"]);
    const answer = await end(`/connections/${idOf(url)}?code=4003&reason=one`);
    expect([answer.status, answer.json]).toEqual([200, { disconnected: 1 }]);
    expect(await first.closed).toEqual({ code: 4003, reason: "one" });
    expect(await second.rest()).toEqual([]);
    expect((await get("/users/two/connections")).json.connections).toHaveLength(1);
    await second.close();
  });

  test("finds a connection by the id that presence shows", async () => {
    const client = await relay.connect("public", ["seen:a", "seen:b"]);
    const { clients } = (await get("/topics/seen%3Aa/presence")).json;
    const answer = await end(`/connections/${clients[0].client}`);
    expect(answer.json).toEqual({ disconnected: 1 });
    expect(await client.closed).toEqual({ code: 3503, reason: "force disconnect" });
    expect((await end(`/connections/${clients[0].client}`)).status).toBe(404);
  });

  test("closes a session by its client id", async () => {
    const session = await SessionClient.connect(relay, { topics: ["t"] });
    expect((await end(`/connections/${session.id}`)).json).toEqual({ disconnected: 1 });
    expect(await session.closed).toEqual({ code: 3503, reason: "force disconnect" });
  });

  test("answers 404 for an id without an open connection, and for an unused registration", async () => {
    const waiting = idOf(await relay.register("late"));
    for (const id of ["nobody", "__proto__", "constructor", waiting, "%00"]) {
      const answer = await end(`/connections/${id}`);
      expect([answer.status, answer.json.error.code]).toEqual([404, "unknown_connection"]);
    }
    await (await relay.open(`${relay.url.replace("http", "ws")}/ws/${waiting}`)).close();
  });
});

test("the routes of users, connections and presence require a key when the relay has keys", async () => {
  await using guarded = await startRelay({ BATON_API_KEYS: KEY });
  const routes = [
    ["GET", "/users/a/connections", 200],
    ["DELETE", "/users/a/connections", 200],
    ["DELETE", "/connections/a", 404],
    ["GET", "/topics/a/presence", 404],
  ] as const;
  for (const [method, path, status] of routes) {
    expect((await guarded.request(method, path)).status).toBe(401);
    expect((await guarded.request(method, `${path}?api_key=${KEY}`)).status).toBe(401);
    const answer = await guarded.request(method, path, { headers: { "x-api-key": KEY } });
    expect([method, path, answer.status]).toEqual([method, path, status]);
  }
});

test("POST /users/:user/connections answers 405 with the allowed methods", async () => {
  const answer = await relay.request("POST", "/users/a/connections");
  expect([answer.status, answer.headers.get("allow")?.split(", ").toSorted()]).toEqual([
    405,
    ["DELETE", "GET"],
  ]);
});
