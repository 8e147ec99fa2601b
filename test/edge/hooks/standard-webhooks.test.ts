// Webhooks as the libraries of Standard Webhooks verify them.
import { afterEach, describe, expect, test } from "bun:test";
import { readSettings } from "../../../src/settings/read";
import { SECRET, token } from "../../support/centrifuge/sdk";
import { SessionClient } from "../../support/centrifuge/session-client";
import { RawSocket } from "../../support/clients/raw-socket";
import { WebhookBackend } from "../../support/hooks/webhook-backend";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";
import { until } from "../../support/wait";

describe("Standard Webhooks", () => {
  const relays: TestRelay[] = [];
  const backends: WebhookBackend[] = [];

  const backend = (secret?: string): WebhookBackend => {
    const made = new WebhookBackend(secret);
    backends.push(made);
    return made;
  };
  const start = async (env: Record<string, string>): Promise<TestRelay> => {
    const relay = await startRelay({ BATON_DEFAULT_TOPICS: "-", ...env });
    relays.push(relay);
    return relay;
  };

  afterEach(async () => {
    for (const relay of relays.splice(0)) await relay[Symbol.asyncDispose]();
    for (const one of backends.splice(0)) await one[Symbol.asyncDispose]();
  });

  test("a topic that gets its first subscriber is occupied, and its event has an id and a time", async () => {
    const receiver = backend();
    const relay = await start(receiver.env("types=topic.occupied"));
    await relay.connect(1, ["news"]);
    await relay.connect(2, ["news"]);
    const [event] = await receiver.told(1, "topic.occupied");
    expect(event?.data).toEqual({ topic: "news" });
    expect(event?.id).toMatch(/^evt_[\da-f]{32}$/);
    expect(Date.parse(event?.timestamp ?? "")).toBeCloseTo(Date.now(), -5);
    expect(receiver.invalid).toEqual([]);
  });

  test("only topics that begin as a receiver wants it count", async () => {
    const receiver = backend();
    const relay = await start(receiver.env("types=topic.occupied topics=a%2Cb+c:"));
    await relay.connect(1, ["a,b:1", "other", "c:2", "d"]);
    await receiver.told(2, "topic.occupied");
    expect(receiver.events.map(({ data }) => data.topic).toSorted()).toEqual(["a,b:1", "c:2"]);
  });

  test("several receivers each get what they want, signed with secrets of their own", async () => {
    const [one, two] = [backend(), backend()];
    const env = {
      ...one.env(),
      BATON_WEBHOOKS: `${one.url} topics=a:, ${two.url} topics=b:`,
      BATON_WEBHOOK_SECRETS: `${one.secret}@${one.host},${two.secret}@${two.host}`,
    };
    const relay = await start(env);
    await relay.connect(1, ["a:1", "b:1"]);
    expect((await one.told(1, "topic.occupied"))[0]?.data).toEqual({ topic: "a:1" });
    expect((await two.told(1, "topic.occupied"))[0]?.data).toEqual({ topic: "b:1" });
    expect([...one.invalid, ...two.invalid]).toEqual([]);
  });

  test("with two secrets each request has a signature of both, and a reload replaces them", async () => {
    const [one, two] = [backend(), backend()];
    const urls = { BATON_WEBHOOKS: `${one.url},${two.url}` };
    const relay = await start({
      ...one.env(),
      ...urls,
      BATON_WEBHOOK_SECRETS: `${one.secret},${two.secret}`,
    });
    await relay.connect(1, ["first"]);
    for (const receiver of [one, two]) await receiver.told(1, "topic.occupied");
    await relay.running.reloads.take(
      readSettings({
        PORT: "0",
        BATON_DEFAULT_TOPICS: "-",
        ...one.env(),
        ...urls,
        BATON_WEBHOOK_SECRETS: two.secret,
      }),
    );
    await relay.connect(1, ["second"]);
    await two.told(2, "topic.occupied");
    await until("a request that the first does not take", () => one.invalid.length > 0);
    expect(two.invalid).toEqual([]);
  });

  test("what has failed is sent again with the same id and another signature", async () => {
    const receiver = backend();
    receiver.answer = () => new Response("", { status: 500 });
    const relay = await start(receiver.env());
    await relay.connect(1, ["news"]);
    await until("two attempts", () => receiver.requests.length > 1);
    receiver.answer = () => new Response(null, { status: 204 });
    await until("three attempts", () => receiver.requests.length > 2);
    const [first, second] = receiver.requests;
    expect(second?.id).toBe(first?.id as string);
    expect(second?.body).toBe(first?.body as string);
    expect(second?.signature).not.toBe(first?.signature as string);
  });

  test("a publication of a client has its data unchanged, its client and its user; one of the backend is no event", async () => {
    const receiver = backend();
    const relay = await start({
      ...receiver.env("types=client.published topics=chat:"),
      BATON_TOKEN_SECRET: SECRET,
      BATON_TOPICS_FILE: topicsFile({ "chat:": { allow_publish: ["client"] } }),
    });
    const claims = { sub: "42", subs: { "chat:7": {} } };
    const client = await SessionClient.connect(relay, { token: await token(claims) });
    await relay.publish("chat:7", "of the backend");
    const answer = await client.ask("publish", { channel: "chat:7", data: { n: 1, text: "é" } });
    expect(answer.error).toBeUndefined();
    const [event] = await receiver.told(1, "client.published");
    const data = {
      topic: "chat:7",
      client: client.id,
      user: "42",
      data: { n: 1, text: "é" },
    };
    expect(event?.data).toEqual(data);
    expect(receiver.events).toHaveLength(1);
  });

  test("a client that reads too slowly is told of with its user, its protocol and its topics", async () => {
    const receiver = backend();
    const relay = await start({
      ...receiver.env("types=client.slow"),
      BATON_BACKPRESSURE_BYTES: "65536",
    });
    const raw = await RawSocket.upgrade((await relay.registration("slow", ["news"])).url);
    raw.pause();
    await until("the socket to be closed", async () => {
      await relay.publish("news", "x".repeat(60_000), "slow");
      return relay.counts.connections === 0;
    });
    const [event] = await receiver.told(1, "client.slow");
    expect(event?.data).toEqual({ user: "slow", protocol: "plain", topics: ["news"] });
    raw.drop();
  });
});
