// A subscription that hides its client from others in the topic, whoever asks for that.
import { expect, test } from "bun:test";
import { SECRET, token } from "../../support/centrifuge/sdk";
import { callApi, KEY } from "../../support/centrifuge/server-api";
import { SessionClient } from "../../support/centrifuge/session-client";
import { ProxyBackend } from "../../support/hooks/proxy-backend";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";

const channel = "room:1";

const HIDDEN = { presence: { value: false }, join_leave: { value: false } };

const WAYS: Record<string, (relay: TestRelay) => Promise<SessionClient>> = {
  "the backend's answer to its subscribe": async (relay) => {
    const signed = await token({ sub: "hidden" });
    return SessionClient.connect(relay, { token: signed, topics: [channel] });
  },
  "the backend's answer to its connect": (relay) => SessionClient.connect(relay),
  "its token": async (relay) => {
    const signed = await token({ sub: "hidden", subs: { [channel]: { override: HIDDEN } } });
    return SessionClient.connect(relay, { token: signed });
  },
  "its token for the topic": async (relay) => {
    const client = await SessionClient.connect(relay, { token: await token({ sub: "hidden" }) });
    const signed = await token({ sub: "hidden", channel, override: HIDDEN });
    await client.ask("subscribe", { channel, token: signed });
    return client;
  },
  "POST /api/subscribe": async (relay) => {
    const client = await SessionClient.connect(relay, { token: await token({ sub: "hidden" }) });
    await callApi(relay, "subscribe", { user: "hidden", channel, override: HIDDEN });
    return client;
  },
};

test.each(Object.keys(WAYS))(
  "a client that %s hides is not listed, and nobody is told that it comes and goes",
  async (way) => {
    await using backend = new ProxyBackend();
    backend.answer("/connect", () => ({
      result: { user: "hidden", subs: { [channel]: { override: HIDDEN } } },
    }));
    backend.answer("/subscribe", ({ body: { user } }) => {
      if (user === "unlisted") return { result: { override: { presence: { value: false } } } };
      return { result: user === "hidden" ? { override: HIDDEN } : {} };
    });
    const rule = { presence: true, join_leave: true, allow_presence: ["client"] };
    await using relay = await startRelay({
      BATON_API_KEYS: KEY,
      BATON_TOKEN_SECRET: SECRET,
      BATON_PROXY_CONNECT: `${backend.url}/connect`,
      BATON_PROXY_SUBSCRIBE: `${backend.url}/subscribe`,
      BATON_TOPICS_FILE: topicsFile({ "room:": rule }),
    });
    const connect = async (sub: string) =>
      SessionClient.connect(relay, { token: await token({ sub }), topics: [channel] });
    const watcher = await connect("watcher");
    await watcher.next();
    const client = await WAYS[way]?.(relay);
    const topics = [...relay.running.relay.connections.ofUser("hidden")].flatMap(
      (one) => one.topics,
    );
    expect(topics.map(({ name }) => name)).toEqual([channel]);
    const other = await connect("unlisted");
    const { presence } = (await watcher.ask("presence", { channel })).presence;
    expect(Object.values(presence)).toMatchObject([{ user: "watcher" }]);
    await client?.close();
    other.drop();
    const told = [await watcher.next(), await watcher.next()];
    expect(told).toMatchObject([
      { channel, join: { info: { user: "unlisted" } } },
      { channel, leave: { info: { user: "unlisted" } } },
    ]);
    watcher.drop();
  },
);
