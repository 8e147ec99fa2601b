// How clients of the official JavaScript SDK refresh their tokens, and what they may do without any.
import { afterEach, expect, test } from "bun:test";
import { connect, inSeconds, recordEvents, subscribe, token } from "../../support/centrifuge/sdk";
import { as, callApi, SdkClients, startRelayWithTokens } from "../../support/centrifuge/sdk-relay";
import { startRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

const clients = new SdkClients();
afterEach(clients.disconnect);

test("tokens of a connection and of a topic are refreshed before they expire", async () => {
  await using relay = await startRelayWithTokens();
  const requested = { connection: 0, topic: 0 };
  const ann = clients.make(relay.url, "websocket", {
    getToken: () => token({ sub: "ann", exp: inSeconds(++requested.connection === 1 ? 1 : 60) }),
  });
  const connecting = recordEvents(ann, "connecting");
  const disconnected = recordEvents(ann, "disconnected");
  await connect(ann);
  await connecting.next();
  const { subscription, publications } = await subscribe(ann, "$mine", {
    getToken: ({ channel }) =>
      token({ sub: "ann", channel, exp: inSeconds(++requested.topic === 1 ? 1 : 60) }),
  });
  const subscribing = recordEvents(subscription, "subscribing");
  const areRefreshed = () => requested.connection === 2 && requested.topic === 2;
  await until("both tokens to be requested again", areRefreshed);
  // The reply to a later command comes after the replies to both refreshes.
  await expect(ann.rpc("any", {})).rejects.toMatchObject({ code: 108 });
  await callApi(relay, "publish", { channel: "$mine", data: 1 });
  expect((await publications.next()).data).toBe(1);
  expect([connecting.rest, disconnected.rest, subscribing.rest]).toEqual([[], [], []]);
  expect(requested).toEqual({ connection: 2, topic: 2 });
});

test("a topic's token that is refreshed with an expired one is asked for again, and the subscription goes on", async () => {
  await using relay = await startRelayWithTokens();
  const ann = clients.make(relay.url, "websocket", await as("ann"));
  const connecting = recordEvents(ann, "connecting");
  await connect(ann);
  await connecting.next();
  const expiries = [1, -60, 600];
  const { subscription, publications } = await subscribe(ann, "$mine", {
    getToken: ({ channel }) =>
      token({ sub: "ann", channel, exp: inSeconds(expiries.shift() as number) }),
  });
  const unsubscribed = recordEvents(subscription, "unsubscribed");
  const subscribed = recordEvents(subscription, "subscribed");
  expect(await connecting.next()).toMatchObject({ code: 3006, reason: "subscription expired" });
  await callApi(relay, "publish", { channel: "$mine", data: 1 });
  expect((await publications.next()).data).toBe(1);
  expect(expiries).toEqual([]);
  expect(subscribed.rest).toHaveLength(1);
  expect(unsubscribed.rest).toEqual([]);
});

test("a client whose token the backend declares expired gets a new one and reconnects", async () => {
  await using relay = await startRelayWithTokens();
  let requested = 0;
  const ann = clients.make(relay.url, "websocket", {
    getToken: () => token({ sub: "ann", jti: String(++requested), exp: inSeconds(600) }),
  });
  const connecting = recordEvents(ann, "connecting");
  await connect(ann);
  await connecting.next();
  await callApi(relay, "refresh", { user: "ann", expired: true });
  expect(await connecting.next()).toMatchObject({ code: 3005 });
  await until("the client to be connected again", () => ann.state === "connected");
});

test("on a relay without tokens and keys a client is the anonymous user, and may do everything", async () => {
  await using relay = await startRelay();
  const some = clients.make(relay.url);
  await connect(some);
  const { publications } = await subscribe(some, "any");
  await some.publish("any", 1);
  expect(await publications.next()).toMatchObject({ data: 1, info: { user: "" } });
  expect((await some.history("any", { limit: 1 })).publications).toHaveLength(1);
});

test("with BATON_ANONYMOUS a client without a token connects, and may do what rules permit anonymous clients", async () => {
  await using relay = await startRelayWithTokens({ BATON_ANONYMOUS: "1" });
  const some = clients.make(relay.url);
  await connect(some);
  const { publications } = await subscribe(some, "news:a");
  await some.publish("news:a", 1);
  expect(await publications.next()).toMatchObject({ data: 1, info: { user: "" } });
  const read = some.newSubscription("read:a");
  const unsubscribed = recordEvents(read, "unsubscribed");
  read.subscribe();
  expect(await unsubscribed.next()).toMatchObject({ code: 103 });
});
