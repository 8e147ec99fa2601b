// The tokens and rules of docs/access.md open what it says. Those in Python: slow/docs.slow.ts.
import { expect, test } from "bun:test";
import { Centrifuge } from "centrifuge";
import { SignJWT } from "jose";
import { readTopicsFile } from "../../src/settings/files/topics-file";
import { readSettings } from "../../src/settings/read";
import { SECRET } from "../support/centrifuge/sdk";
import { example } from "../support/docs/pages";
import { RecordingApp, runExample } from "../support/docs/recording-app";
import { Folder } from "../support/machine/folder";
import { startRelay } from "../support/relay/test-relay";
import { until, within } from "../support/wait";

const PAGE = "docs/access.md";

test("the keys of docs/access.md open what their scopes say", async () => {
  const keys = {
    ADMIN_KEY: "the-admin-key-1",
    SHOP_KEY: "the-shop-key-12",
    PROMETHEUS_KEY: "prom",
  };
  const script = `${example(PAGE, "scopes.sh").trim()}; echo "$BATON_API_KEYS"`;
  const { stdout } = Bun.spawnSync(["bash", "-c", script], { env: { ...process.env, ...keys } });
  await using relay = await startRelay({ BATON_API_KEYS: stdout.toString().trim() });
  const publish = async (key: string, topic: string) =>
    (await relay.post("/publish", { topic, message: "m" }, { "x-api-key": key })).status;
  expect(await publish(keys.ADMIN_KEY, "any")).toBe(200);
  expect(await publish(keys.SHOP_KEY, "shop:orders")).toBe(200);
  expect(await publish(keys.SHOP_KEY, "any")).toBe(403);
  expect(await publish(keys.PROMETHEUS_KEY, "any")).toBe(403);
  const headers = { "x-api-key": keys.PROMETHEUS_KEY };
  expect((await relay.request("GET", "/metrics", { headers })).status).toBe(200);
});

/** The functions that sign tokens, as a backend has them. */
function signing() {
  const given = { SignJWT, process: { env: { BATON_TOKEN_SECRET: SECRET } } };
  const functions = "{ connectionToken, topicToken }";
  return runExample(example(PAGE, "tokens.js"), given, functions) as {
    connectionToken: (user: string) => Promise<string>;
    topicToken: (user: string, topic: string) => Promise<string>;
  };
}

/** The client, whose page gets its token from the backend. */
function client(relayUrl: string): Centrifuge {
  const fetch = async (path: string) => {
    expect(path).toBe("/relay-token");
    return new Response(await signing().connectionToken("42"));
  };
  return runExample(example(PAGE, "sdk-token.js"), { Centrifuge, relayUrl, fetch }, "client");
}

test("with the tokens and the rule of docs/access.md, a client gets messages, also of a private topic", async () => {
  using folder = new Folder();
  const rules = `${folder.path}/topics.json`;
  await Bun.write(rules, example(PAGE, "allow-all.json"));
  const env = { BATON_TOKEN_SECRET: SECRET, BATON_TOPICS_FILE: rules };
  await using relay = await startRelay(env);
  const app = new RecordingApp();
  const centrifuge = client(`${relay.url.replace("http", "ws")}/connection/websocket`);
  const options = { token: await signing().topicToken("42", "$orders") };
  for (const topic of ["news", "$orders"]) {
    const subscription = centrifuge.newSubscription(topic, topic === "news" ? {} : options);
    subscription.on("publication", ({ data }) => app.onMessage(topic, data));
    subscription.subscribe();
  }
  centrifuge.connect();
  for (const topic of ["news", "$orders"]) {
    await until("the client to subscribe", async () => (await relay.publish(topic, "hi")) === 1);
    expect(await app.take(1)).toEqual([`${topic}: "hi"`]);
  }
  centrifuge.disconnect();
});

test("without the rule of docs/access.md, a subscription ends with 103 permission denied", async () => {
  await using relay = await startRelay({ BATON_TOKEN_SECRET: SECRET });
  const centrifuge = client(`${relay.url.replace("http", "ws")}/connection/websocket`);
  const ended = Promise.withResolvers<unknown>();
  const news = centrifuge.newSubscription("news");
  news.on("unsubscribed", ended.resolve);
  news.subscribe();
  centrifuge.connect();
  const event = await within("the subscription to end", ended.promise);
  expect(event).toMatchObject({ code: 103, reason: "permission denied" });
  centrifuge.disconnect();
});

test("the rules of docs/access.md are valid", async () => {
  using folder = new Folder();
  const path = `${folder.path}/topics.json`;
  await Bun.write(path, example(PAGE, "rules.json"));
  expect(readTopicsFile(path)).toMatchObject({
    "room:": { presence: true, joinLeave: true, allow: { publish: ["subscriber"] } },
    "": { allow: { subscribe: ["client", "anonymous"] } },
  });
});

test("code 4503 of docs/access.md is what the client is closed with", async () => {
  await using relay = await startRelay();
  const socket = await relay.connect(42);
  const { connections } = (await relay.request("GET", "/users/42/connections")).json;
  const path = `/connections/${connections[0].id}?code=4503&reason=bye`;
  expect((await relay.request("DELETE", path)).json).toEqual({ disconnected: 1 });
  expect(await within("the close", socket.closed)).toEqual({ code: 4503, reason: "bye" });
});

test("the limits of docs/access.md are settings that a relay starts with", () => {
  const lines = example(PAGE, "address-limits.sh").matchAll(/^export (\w+)=(\S+)/gm);
  const env = Object.fromEntries(Array.from(lines, ([, name, value]) => [name, value]));
  expect(readSettings(env)).toMatchObject({
    trustedProxies: ["127.0.0.1", "10.0.0.0/8"],
    addressConnectionsMax: 200,
    addressAttemptsMax: 50,
    addressRequestsMax: 100,
    unknownVariables: [],
  });
});
