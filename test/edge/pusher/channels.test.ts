// What Pusher backends ask and do besides publishing: channels, their users, and the end of a user's connections.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { MemoryEngine } from "../../../src/engines/memory/engine";
import { createLog } from "../../../src/log";
import { start } from "../../../src/node";
import { LISTED } from "../../../src/relay/contracts/engine";
import { readSettings } from "../../../src/settings/read";
import type { Client } from "../../support/clients/client";
import { APP, PUSHER_ENV } from "../../support/pusher/app";
import { backendOf, call, signedPath } from "../../support/pusher/backend";
import { engineOptions } from "../../support/relay/simulation";
import { TestRelay } from "../../support/relay/test-relay";

let relay: TestRelay;
/** It knows the users of presence channels, whom the sockets of Pusher clients tell it. */
let engine: MemoryEngine;

beforeAll(async () => {
  engine = new MemoryEngine(engineOptions());
  const settings = readSettings({ ...PUSHER_ENV, PORT: "0", BATON_SHUTDOWN_MS: "50" });
  relay = new TestRelay(await start(settings, createLog("silent"), { engine }), []);
});

/** These users are in a presence channel. */
function enter(channel: string, ...users: string[]): void {
  for (const name of users) engine.groups.enter(`${LISTED}${channel}`, { name }, 100);
}

afterAll(() => relay[Symbol.asyncDispose]());

async function subscriber(user: string, ...topics: string[]): Promise<Client> {
  const { url } = await relay.registration(user, topics);
  const client = await relay.open(url);
  await client.settled();
  return client;
}

/** What the library for Node is answered. */
async function get(path: string, params: Record<string, string> = {}) {
  const answer = await backendOf(relay.url).get({ path, params });
  expect(answer.headers.get("content-type")).toBe("application/json");
  return answer.json();
}

const statusOf = async (path: string, query: Record<string, string> = {}) =>
  (await call(relay.url, { method: "GET", path: `/apps/${APP.id}${path}`, query })).status;

describe("the channels", () => {
  test("are listed while they have subscribers, by the beginning of their names, with what was asked", async () => {
    const clients = [
      await subscriber("1", "list-a", "presence-list", "#1"),
      await subscriber("1", "list-a", "presence-list"),
      await subscriber("2", "list-b", "presence-list"),
    ];
    enter("presence-list", "1", "2");
    const info = "user_count,subscription_count";
    expect(await get("/channels", { filter_by_prefix: "list-" })).toEqual({
      channels: { "list-a": {}, "list-b": {} },
    });
    expect(
      await get("/channels", { filter_by_prefix: "list-", info: "subscription_count" }),
    ).toEqual({
      channels: { "list-a": { subscription_count: 2 }, "list-b": { subscription_count: 1 } },
    });
    expect(await get("/channels", { filter_by_prefix: "presence-", info })).toEqual({
      channels: { "presence-list": { user_count: 2, subscription_count: 3 } },
    });
    const path = `/apps/${APP.id}/channels`;
    const personal = { method: "GET", path, query: { filter_by_prefix: "#" } };
    expect((await call(relay.url, personal)).json).toEqual({
      channels: { "#server-to-user-1": {} },
    });
    expect(Object.keys((await get("/channels")).channels).sort()).toEqual(
      ["#server-to-user-1", "list-a", "list-b", "presence-list"].sort(),
    );
    for (const client of clients) await client.close();
  });

  test("are an empty object when there are none", async () => {
    expect(await get("/channels", { filter_by_prefix: "nobody-" })).toEqual({ channels: {} });
  });

  test("with names that objects treat as their own are listed like others", async () => {
    const client = await subscriber("1", "__proto__", "constructor");
    const { channels } = await get("/channels");
    expect(Object.keys(channels)).toEqual(expect.arrayContaining(["__proto__", "constructor"]));
    await client.close();
  });
});

describe("a channel", () => {
  test("says whether it is occupied, and by how many", async () => {
    const clients = [await subscriber("1", "presence-one"), await subscriber("2", "presence-one")];
    enter("presence-one", "1", "2");
    expect(await get("/channels/presence-one")).toEqual({ occupied: true });
    expect(await get("/channels/presence-one", { info: "user_count,subscription_count" })).toEqual({
      occupied: true,
      user_count: 2,
      subscription_count: 2,
    });
    expect(await get("/channels/nobody", { info: "subscription_count" })).toEqual({
      occupied: false,
      subscription_count: 0,
    });
    for (const client of clients) await client.close();
  });

  test("may have any character that Pusher allows, as it is or escaped", async () => {
    const name = "presence-a_b-c=d@e,f.g;h";
    const client = await subscriber("1", name, "#1");
    enter(name, "1");
    expect(await get(`/channels/${name}`)).toEqual({ occupied: true });
    expect(await statusOf(`/channels/${encodeURIComponent(name)}`)).toBe(200);
    expect(await get(`/channels/${name}/users`)).toEqual({ users: [{ id: "1" }] });
    expect(await get("/channels/%23server-to-user-1")).toEqual({ occupied: true });
    await client.close();
  });

  test("with presence lists its users", async () => {
    enter("presence-users", "1", "2");
    expect(await get("/channels/presence-users/users")).toEqual({
      users: [{ id: "1" }, { id: "2" }],
    });
    expect(await get("/channels/presence-nobody/users")).toEqual({ users: [] });
  });

  test("says what its new subscribers are shown, where that is an event of a backend", async () => {
    const backend = backendOf(relay.url);
    expect(await get("/channels/cache-none", { info: "cache" })).toEqual({ occupied: false });
    await backend.trigger("private-cache-one", "e", { n: 1 });
    await backend.trigger("private-cache-one", "e", "hi");
    const info = "cache,subscription_count";
    expect(await get("/channels/private-cache-one", { info })).toEqual({
      occupied: false,
      subscription_count: 0,
      cache: { data: "hi" },
    });
    expect(await get("/channels/private-cache-one")).toEqual({ occupied: false });
  });

  test("answers HEAD as GET, without a body", async () => {
    const asked = { method: "HEAD", path: `/apps/${APP.id}/channels/news` };
    const statusOf = async (signedAs: string) => {
      const path = signedPath({ ...asked, method: signedAs });
      const answer = await fetch(relay.url + path, { method: "HEAD" });
      return [answer.status, await answer.text()];
    };
    expect(await statusOf("HEAD")).toEqual([200, ""]);
    expect(await statusOf("GET")).toEqual([401, ""]);
  });

  test.each<[string, Record<string, string>]>([
    ["/channels/news/users", {}],
    ["/channels/news", { info: "cache" }],
    ["/channels", { info: "cache", filter_by_prefix: "cache-" }],
    ["/channels/news", { info: "user_count" }],
    ["/channels", { info: "user_count" }],
    ["/channels", { info: "user_count", filter_by_prefix: "pres" }],
    ["/channels", { info: "users" }],
    ["/channels/%2342", {}],
    ["/channels/a%0Ab", {}],
    ["/channels/presence-a%0Ab/users", {}],
  ])("is asked with GET %s and %p in vain: 400", async (path, query) => {
    expect(await statusOf(path, query)).toBe(400);
  });
});

test("what an event asked about its channels is answered", async () => {
  const client = await subscriber("1", "presence-info", "info");
  enter("presence-info", "1");
  const backend = backendOf(relay.url);
  const trigger = async (channels: string[], info: string) =>
    (await backend.trigger(channels, "e", "m", { info })).json();
  expect(await trigger(["presence-info"], "user_count,subscription_count")).toEqual({
    channels: { "presence-info": { user_count: 1, subscription_count: 1 } },
  });
  expect(await trigger(["presence-info", "info"], "subscription_count")).toEqual({
    channels: { "presence-info": { subscription_count: 1 }, info: { subscription_count: 1 } },
  });
  expect(await trigger(["info"], "")).toEqual({ channels: { info: {} } });
  await client.close();
});

describe("the connections of a user", () => {
  test("end for good, and those of others stay", async () => {
    const [first, second] = [await subscriber("u 1/ü"), await subscriber("u 1/ü")];
    const other = await subscriber("u", "terminated");
    const answer = await backendOf(relay.url).terminateUserConnections("u 1/ü");
    expect(await answer.json()).toEqual({});
    expect((await first.closed).code).toBe(3503);
    expect((await second.closed).code).toBe(3503);
    expect(await relay.publish("terminated", "m")).toBe(1);
    await other.close();
  });

  test("end by the path without an app too, which the key stands for", async () => {
    const client = await subscriber("python");
    const path = "/users/python/terminate_connections";
    expect(await call(relay.url, { path, body: "{}" })).toEqual({ status: 200, json: {} });
    expect((await client.closed).code).toBe(3503);
    const stranger = { ...APP, key: "another" };
    expect((await call(relay.url, { path, body: "{}", app: stranger })).status).toBe(401);
  });

  test("of nobody end without an error, and a name that no user has is refused", async () => {
    const path = (user: string) => `/apps/${APP.id}/users/${user}/terminate_connections`;
    expect((await call(relay.url, { path: path("nobody"), body: "{}" })).status).toBe(200);
    expect((await call(relay.url, { path: path("x".repeat(129)), body: "{}" })).status).toBe(400);
    expect((await call(relay.url, { path: path("a%07"), body: "{}" })).status).toBe(400);
  });
});
