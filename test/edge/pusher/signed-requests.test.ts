// What is not signed by an app, or by one that is not there any more: 401, and nothing happens.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readSettings } from "../../../src/settings/read";
import { Client } from "../../support/clients/client";
import { APP, PUSHER_ENV } from "../../support/pusher/app";
import { backendOf, call, type SignedCall, signedPath } from "../../support/pusher/backend";
import { authOf, PusherClient } from "../../support/pusher/socket-client";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

const OTHER = { id: "43", key: "other-key", secret: "another-long-app-secret" };

const BODY = '{"name":"e","data":"m","channels":["watched"]}';

let relay: TestRelay;
let watcher: Client;

beforeAll(async () => {
  relay = await startRelay({
    BATON_PUSHER_APPS: `${PUSHER_ENV.BATON_PUSHER_APPS},${OTHER.id}:${OTHER.key}:${OTHER.secret}`,
  });
  watcher = await relay.connect("watcher", ["watched"]);
});
afterAll(() => relay[Symbol.asyncDispose]());

const now = (): number => Math.floor(Date.now() / 1_000);

const REFUSED: Record<string, () => [SignedCall, { path?: string; body?: string }?]> = {
  "has no signature": () => [{ body: BODY }, { path: `/apps/${APP.id}/events` }],
  "has another body": () => [{ body: BODY }, { body: `${BODY} ` }],
  "has a body, and was signed without one": () => [{ body: "" }, { body: BODY }],
  "has another body of the same MD5 in capitals": () => [
    { body: BODY, query: { body_md5: "D41D8CD98F00B204E9800998ECF8427E" } },
  ],
  "goes to another route": () => [
    { body: BODY },
    { path: signedPath({ body: BODY }).replace("/events", "/batch_events") },
  ],
  "goes to another app": () => [
    { body: BODY },
    { path: signedPath({ body: BODY }).replace(`/apps/${APP.id}`, `/apps/${OTHER.id}`) },
  ],
  "is signed by another app": () => [{ body: BODY, app: OTHER }],
  "is signed with the secret of another app": () => [
    { body: BODY, app: { ...APP, secret: OTHER.secret } },
  ],
  "has the key of another app": () => [{ body: BODY, query: { auth_key: OTHER.key } }],
  "is for no app": () => [{ body: BODY, path: "/apps/44/events" }],
  "is for an app by its key": () => [{ body: BODY, path: `/apps/${APP.key}/events` }],
  "is older than 600 s": () => [{ body: BODY, at: now() - 605 }],
  "is of more than 600 s from now": () => [{ body: BODY, at: now() + 605 }],
  "has a time in milliseconds": () => [{ body: BODY, at: Date.now() }],
  "has no time": () => [{ body: BODY, query: { auth_timestamp: "" } }],
  "has another version": () => [{ body: BODY, query: { auth_version: "2.0" } }],
  "has one more parameter": () => [{ body: BODY }, { path: `${signedPath({ body: BODY })}&a=b` }],
  "has its time twice": () => [
    { body: BODY },
    { path: `${signedPath({ body: BODY })}&auth_timestamp=${now()}` },
  ],
  "has its signature twice": () => [
    { body: BODY },
    { path: `${signedPath({ body: BODY })}&auth_signature=${"0".repeat(64)}` },
  ],
  "has another signature": () => [
    { body: BODY },
    {
      path: signedPath({ body: BODY }).replace(
        /auth_signature=.*/,
        `auth_signature=${"0".repeat(64)}`,
      ),
    },
  ],
  "has half of its signature": () => [
    { body: BODY },
    { path: signedPath({ body: BODY }).slice(0, -32) },
  ],
  "has a parameter that is not UTF-8": () => [
    { body: BODY },
    { path: `${signedPath({ body: BODY })}&a=%ff` },
  ],
};

describe("a request that", () => {
  test.each(Object.entries(REFUSED))("%s is refused with 401", async (_, make) => {
    const [request, sent] = make();
    const { status, json } = await call(relay.url, request, sent);
    expect([status, json.error.code]).toEqual([401, "invalid_signature"]);
    expect(json.error.message).not.toContain(APP.secret);
    expect(await watcher.rest()).toEqual([]);
  });

  test("reads, of another method or another path is refused with 401", async () => {
    const path = `/apps/${APP.id}/channels`;
    const signed = signedPath({ method: "GET", path });
    expect((await call(relay.url, { method: "GET", path })).status).toBe(200);
    for (const other of [
      signed.replace("/channels?", "/channels/watched?"),
      signed.replace("/channels?", "/channels/presence-a/users?"),
      signed.replace("/channels?", "/%63hannels?"),
      signedPath({ method: "POST", path }),
      `${signed}&filter_by_prefix=x`,
      `${signed}&info=subscription_count`,
    ]) {
      const { status } = await call(relay.url, { method: "GET" }, { path: other });
      expect([401, 404], other).toContain(status);
    }
  });

  test("is unsigned and too long is refused without being read", async () => {
    const body = "x".repeat(500_000);
    const sent = { path: `/apps/${APP.id}/events?auth_key=${APP.key}`, body };
    expect((await call(relay.url, {}, sent)).status).toBe(401);
  });
});

test("each app signs for itself, and all have the same channels", async () => {
  expect((await call(relay.url, { body: BODY })).status).toBe(200);
  const theirs = { body: BODY, app: OTHER, path: `/apps/${OTHER.id}/events` };
  expect((await call(relay.url, theirs)).status).toBe(200);
  expect([await watcher.next(), await watcher.next()]).toEqual(["m", "m"]);
});

test("the library for Node says which status it was refused with, and why", async () => {
  const stranger = backendOf(relay.url, { ...APP, secret: "wrong" });
  const error = await stranger.trigger("watched", "e", "m").then(
    () => undefined,
    (reason) => reason,
  );
  expect(error).toMatchObject({ message: "Unexpected status code 401", status: 401 });
  expect(error.body).toContain("auth_signature is not that of this request");
});

test("an app that is taken away signs nothing any more, and those that are connected with its key keep what they have", async () => {
  await using own = await startRelay(PUSHER_ENV);
  const replaceBy = ({ id, key, secret }: typeof APP) =>
    own.running.reloads.take(
      readSettings({
        PORT: "0",
        BATON_SHUTDOWN_MS: "50",
        BATON_PUSHER_APPS: `${id}:${key}:${secret}`,
      }),
    );
  const early = await PusherClient.open(own.url);
  await early.subscribed("private-a");
  const answerTo = async (channel: string, app: typeof APP) => {
    early.send("pusher:subscribe", { channel, auth: authOf(`${early.socketId}:${channel}`, app) });
    const { event, data } = await early.next();
    return event.endsWith("_succeeded") ? "succeeded" : data.error;
  };

  expect(await replaceBy({ ...APP, secret: OTHER.secret })).toEqual([]);
  expect(await answerTo("private-b", APP)).toContain("is not that of this app");
  expect(await answerTo("private-b", { ...APP, secret: OTHER.secret })).toBe("succeeded");

  await replaceBy(APP);
  await replaceBy({ ...APP, key: OTHER.key });
  expect(await answerTo("private-c", APP)).toContain("no app with the key");
  await replaceBy(APP);
  await replaceBy({ ...APP, id: OTHER.id });
  expect((await call(own.url, { body: "{}" })).status).toBe(401);
  expect(await answerTo("private-c", APP)).toBe("succeeded");

  await replaceBy(OTHER);
  expect(await answerTo("private-c", APP)).toContain(
    "no app with the key of this connection any more",
  );
  expect(await answerTo("private-c", OTHER)).toContain("no app with the key");
  expect((await call(own.url, { body: '{"name":"e","data":"m","channel":"a"}' })).status).toBe(401);
  const late = await Client.open(`${own.url.replace("http", "ws")}/app/${APP.key}`);
  expect((await late.closed).code).toBe(4001);
  await backendOf(own.url, OTHER).trigger(["private-a", "private-b"], "e", "m");
  expect((await early.take(2)).map(({ channel }) => channel)).toEqual(["private-a", "private-b"]);
});
