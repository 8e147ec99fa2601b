// Limits that meet: a client of the official JavaScript SDK that is within each of them comes back with all of its topics.
import { afterEach, expect, test } from "bun:test";
import type { Subscription } from "centrifuge";
import { inSeconds, recordEvents, subscribe, token } from "../../support/centrifuge/sdk";
import { as, SdkClients, startRelayWithTokens } from "../../support/centrifuge/sdk-relay";
import { until } from "../../support/wait";

const clients = new SdkClients();
afterEach(clients.disconnect);

/** As many as a connection may have by default. */
const TOPICS = 128;

/** With it a token has about 600 bytes. */
const INFO = { name: "x".repeat(300) };

test.each(["websocket", "http_stream", "sse"] as const)(
  "over %s, a client with 128 private topics and tokens of 600 bytes has all of them after a lost connection",
  async (transport) => {
    await using relay = await startRelayWithTokens();
    const ann = clients.make(relay.url, transport, await as("ann"));
    const connected = recordEvents(ann, "connected");
    const disconnected = recordEvents(ann, "disconnected");
    ann.connect();
    await connected.next();
    const subscriptions: Subscription[] = [];
    for (let i = 0; i < TOPICS; i++) {
      const channel = `$private ${i}`;
      const claims = { sub: "ann", channel, info: INFO, exp: inSeconds(600) };
      const { subscription } = await subscribe(ann, channel, { token: await token(claims) });
      subscriptions.push(subscription);
    }
    const { connections } = relay.running.relay;
    for (const one of [...connections.all()]) connections.end(one, "position_lost");
    await connected.next();
    const areSubscribed = () => subscriptions.every(({ state }) => state === "subscribed");
    await until("all topics to be subscribed again", areSubscribed);
    expect(disconnected.rest).toEqual([]);
  },
);

test.each(["websocket", "http_stream", "sse"] as const)(
  "over %s, a client may publish the largest message, also when each of its characters is escaped twice",
  async (transport) => {
    await using relay = await startRelayWithTokens({ BATON_MESSAGE_BYTES: "65536" });
    const ann = clients.make(relay.url, transport, await as("ann"));
    ann.connect();
    const { publications } = await subscribe(ann, "news:a");
    for (const data of ["x".repeat(65_534), '"'.repeat(32_000)]) {
      await ann.publish("news:a", data);
      expect((await publications.next()).data).toBe(data);
    }
  },
);

test("commands over the limit of a frame are refused with 413 at /emulation, with the setting that decides", async () => {
  await using relay = await startRelayWithTokens({ BATON_FRAME_BYTES: "1000" });
  const post = (data: string) => relay.post("/emulation", { session: "s", node: "n", data });
  expect((await post("x".repeat(1_000))).status).toBe(404);
  const { status, json } = await post("x".repeat(1_001));
  expect([status, json.error.code]).toEqual([413, "body_too_large"]);
  expect(json.error.message).toContain("BATON_FRAME_BYTES");
});
