// The official JavaScript SDK of Centrifugo, as it comes from npm, over each of its transports.
import { afterEach, describe, expect, test } from "bun:test";
import {
  connect,
  inSeconds,
  recordEvents,
  subscribe,
  token,
  type Wire,
} from "../../support/centrifuge/sdk";
import { as, callApi, SdkClients, startRelayWithTokens } from "../../support/centrifuge/sdk-relay";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { until } from "../../support/wait";

const clients = new SdkClients();
afterEach(clients.disconnect);

const WIRES: readonly Wire[] = [
  "websocket",
  "http_stream",
  "sse",
  "websocket in protobuf",
  "http_stream in protobuf",
];

describe.each(WIRES)("over %s", (transport) => {
  test("a client connects, subscribes, publishes and receives what others publish", async () => {
    await using relay = await startRelayWithTokens();
    const ann = clients.make(relay.url, transport, await as("ann"));
    const bob = clients.make(relay.url, transport, await as("bob"));
    const event = await connect(ann);
    expect(event.client).toBeString();
    expect(event.transport).toBe(transport.split(" ")[0] as string);
    await connect(bob);
    const { publications, subscribed } = await subscribe(bob, "news:a");
    expect(subscribed).toMatchObject({ channel: "news:a", recoverable: true, positioned: true });
    await ann.publish("news:a", { text: "hi" });
    const [first] = await publications.take(1);
    expect(first).toMatchObject({
      channel: "news:a",
      data: { text: "hi" },
      offset: 1,
      info: { user: "ann", client: event.client },
    });
    await callApi(relay, "publish", { channel: "news:a", data: [1, null], tags: { a: "b" } });
    const [second] = await publications.take(1);
    expect(second).toMatchObject({ data: [1, null], offset: 2, tags: { a: "b" } });
    expect(second?.info).toBeUndefined();
    await relay.post("/publish", { topic: "news:a", message: "text" }, { "x-api-key": "key" });
    expect((await publications.next()).data).toBe("text");
    expect(publications.rest).toEqual([]);
  });

  test("a client reads presence, and receives joins and leaves", async () => {
    await using relay = await startRelayWithTokens();
    const ann = clients.make(relay.url, transport, await as("ann", { info: { name: "Ann" } }));
    const bob = clients.make(relay.url, transport, await as("bob"));
    const { client: annsId } = await connect(ann);
    const { client: bobsId } = await connect(bob);
    const mine = ann.newSubscription("news:a", { joinLeave: true });
    const joins = recordEvents(mine, "join");
    const leaves = recordEvents(mine, "leave");
    mine.subscribe();
    const annsInfo = { user: "ann", client: annsId, connInfo: { name: "Ann" } };
    expect((await joins.next()).info).toMatchObject(annsInfo);
    const { subscription } = await subscribe(bob, "news:a");
    expect((await joins.next()).info).toMatchObject({ user: "bob", client: bobsId });
    const { clients: present } = await ann.presence("news:a");
    expect(Object.keys(present).toSorted()).toEqual([annsId, bobsId].toSorted());
    expect(present[annsId]).toMatchObject(annsInfo);
    expect(await mine.presenceStats()).toEqual({ numClients: 2, numUsers: 2 });
    subscription.unsubscribe();
    expect((await leaves.next()).info).toMatchObject({ user: "bob", client: bobsId });
    subscription.subscribe();
    await joins.next();
    bob.disconnect();
    expect((await leaves.next()).info).toMatchObject({ user: "bob", client: bobsId });
    expect(await mine.presenceStats()).toEqual({ numClients: 1, numUsers: 1 });
  });

  test("a client reads history in pages, from both ends", async () => {
    await using relay = await startRelayWithTokens();
    const ann = clients.make(relay.url, transport, await as("ann"));
    await connect(ann);
    for (const n of [1, 2, 3]) await ann.publish("news:a", n);
    const all = await ann.history("news:a", { limit: 10 });
    expect(all.publications.map(({ data }) => data)).toEqual([1, 2, 3]);
    const { offset, epoch } = all;
    expect(offset).toBe(3);
    const since = { offset: 1, epoch };
    const later = await ann.history("news:a", { since, limit: 1 });
    expect(later.publications.map(({ data }) => data)).toEqual([2]);
    const newest = await ann.history("news:a", { limit: 2, reverse: true });
    expect(newest.publications.map(({ data }) => data)).toEqual([3, 2]);
    expect((await ann.history("news:a", { limit: 0 })).publications).toEqual([]);
    const foreign = ann.history("news:a", { since: { offset: 1, epoch: "other" }, limit: 1 });
    await expect(foreign).rejects.toMatchObject({ code: 112 });
  });

  test("a client is refused with the error codes of the protocol", async () => {
    await using relay = await startRelayWithTokens();
    const ann = clients.make(relay.url, transport, await as("ann"));
    await connect(ann);
    await expect(ann.rpc("any", {})).rejects.toMatchObject({ code: 108 });
    await expect(ann.publish("read:a", 1)).rejects.toMatchObject({ code: 103 });
    await expect(ann.presence("read:a")).rejects.toMatchObject({ code: 108 });
    await expect(ann.history("quiet:a", { limit: 1 })).rejects.toMatchObject({ code: 108 });
    const denied = ann.newSubscription("other");
    const unsubscribed = recordEvents(denied, "unsubscribed");
    denied.subscribe();
    expect(await unsubscribed.next()).toMatchObject({ code: 103 });
  });

  test("a client subscribes to a private topic with a token for it, and not without one", async () => {
    await using relay = await startRelayWithTokens();
    const ann = clients.make(relay.url, transport, await as("ann"));
    await connect(ann);
    const getToken = ({ channel }: { channel: string }) =>
      token({ sub: "ann", channel, info: { role: "owner" } });
    const { publications } = await subscribe(ann, "$mine", { getToken });
    await callApi(relay, "publish", { channel: "$mine", data: 1 });
    expect((await publications.next()).data).toBe(1);
    const shut = ann.newSubscription("$shut");
    const unsubscribed = recordEvents(shut, "unsubscribed");
    shut.subscribe();
    expect(await unsubscribed.next()).toMatchObject({ code: 103 });
  });

  test("a client is subscribed by its token, to its personal topic, and by the backend", async () => {
    await using relay = await startRelayWithTokens({ BATON_PERSONAL_TOPICS: "1" });
    const subs = { "any:b": { data: { welcome: true } } };
    const ann = clients.make(relay.url, transport, await as("ann", { subs }));
    const subscribed = recordEvents(ann, "subscribed");
    const publications = recordEvents(ann, "publication");
    const unsubscribed = recordEvents(ann, "unsubscribed");
    await connect(ann);
    const both = (await subscribed.take(2)).toSorted((a, b) => a.channel.localeCompare(b.channel));
    expect(both).toMatchObject([
      { channel: "#ann", recoverable: true },
      { channel: "any:b", data: { welcome: true } },
    ]);
    await callApi(relay, "publish", { channel: "#ann", data: "to ann" });
    await callApi(relay, "publish", { channel: "any:b", data: "to b" });
    expect((await publications.take(2)).map(({ data }) => data)).toEqual(["to ann", "to b"]);
    await callApi(relay, "subscribe", { user: "ann", channel: "given" });
    expect(await subscribed.next()).toMatchObject({ channel: "given" });
    await callApi(relay, "publish", { channel: "given", data: "given" });
    expect(await publications.next()).toMatchObject({ channel: "given", data: "given" });
    await callApi(relay, "unsubscribe", { user: "ann", channel: "given" });
    expect(await unsubscribed.next()).toMatchObject({ channel: "given" });
    const bob = clients.make(relay.url, transport, await as("bob", { channels: ["any:c"] }));
    const bobs = recordEvents(bob, "subscribed");
    await connect(bob);
    const names = (await bobs.take(2)).map(({ channel }) => channel);
    expect(names.toSorted()).toEqual(["#bob", "any:c"]);
  });

  test("a client whose connection was cut recovers what it missed, once and in order", async () => {
    await using relay = await startRelayWithTokens();
    await using network = await TcpProxy.start(relay.url);
    const url = network.through(relay.url);
    const options = await as("ann", { channels: ["server-side"] });
    const ann = clients.make(url, transport, options);
    const serverSide = recordEvents(ann, "publication");
    const connecting = recordEvents(ann, "connecting");
    await connect(ann);
    await connecting.next();
    const { subscription, publications } = await subscribe(ann, "news:a");
    const subscribed = recordEvents(subscription, "subscribed");
    const subscribedServerSide = recordEvents(ann, "subscribed");
    const publish = async (text: string) => {
      await callApi(relay, "broadcast", { channels: ["news:a", "server-side"], data: text });
    };
    await publish("live");
    expect((await publications.next()).data).toBe("live");
    expect((await serverSide.next()).data).toBe("live");
    network.stall();
    for (const text of ["missed 1", "missed 2"]) await publish(text);
    network.heal();
    network.cutAll();
    await connecting.next();
    expect(await subscribed.next()).toMatchObject({ wasRecovering: true, recovered: true });
    expect(await subscribedServerSide.next()).toMatchObject({ recovered: true });
    await publish("live again");
    const expected = ["missed 1", "missed 2", "live again"];
    expect((await publications.take(3)).map(({ data }) => data)).toEqual(expected);
    expect((await serverSide.take(3)).map(({ data }) => data)).toEqual(expected);
    expect([publications.rest, serverSide.rest]).toEqual([[], []]);
  });

  test("a client learns that it cannot recover what is no longer kept, and stays subscribed", async () => {
    await using relay = await startRelayWithTokens({ BATON_HISTORY_SIZE: "2" });
    await using network = await TcpProxy.start(relay.url);
    const ann = clients.make(network.through(relay.url), transport, await as("ann"));
    await connect(ann);
    const { subscription, publications } = await subscribe(ann, "news:a");
    const subscribed = recordEvents(subscription, "subscribed");
    network.stall();
    for (const n of [1, 2, 3]) await callApi(relay, "publish", { channel: "news:a", data: n });
    network.heal();
    network.cutAll();
    expect(await subscribed.next()).toMatchObject({ wasRecovering: true, recovered: false });
    await callApi(relay, "publish", { channel: "news:a", data: "live" });
    expect(await publications.next()).toMatchObject({ data: "live", offset: 4 });
  });

  test("a client is unsubscribed and disconnected by the backend, and reconnects after some codes", async () => {
    await using relay = await startRelayWithTokens();
    const ann = clients.make(relay.url, transport, await as("ann"));
    const disconnected = recordEvents(ann, "disconnected");
    const { client: id } = await connect(ann);
    const { subscription } = await subscribe(ann, "news:a");
    const unsubscribed = recordEvents(subscription, "unsubscribed");
    await callApi(relay, "unsubscribe", { client: id, user: "ann", channel: "news:a" });
    expect(await unsubscribed.next()).toMatchObject({ code: 2000 });
    expect(await callApi(relay, "disconnect", { user: "ann" })).toEqual({ result: {} });
    expect(await disconnected.next()).toEqual({ code: 3503, reason: "force disconnect" });
    await connect(ann);
    const disconnect = { code: 4500, reason: "enough" };
    await callApi(relay, "disconnect", { user: "ann", disconnect });
    expect(await disconnected.next()).toEqual(disconnect);
    const connecting = recordEvents(ann, "connecting");
    await connect(ann);
    await connecting.next();
    for (const again of [
      { code: 4000, reason: "come back" },
      // Streams of other protocols are told never to reconnect by this one.
      { code: 3011, reason: "force reconnect" },
    ]) {
      await callApi(relay, "disconnect", { user: "ann", disconnect: again });
      expect(await connecting.next()).toEqual(again);
      await until("the client to be connected again", () => ann.state === "connected");
    }
    expect(relay.counts).toMatchObject({ connections: 1 });
  });

  test("a client whose token has expired gets a new one and connects", async () => {
    await using relay = await startRelayWithTokens();
    let requested = 0;
    const getToken = () => {
      requested++;
      return token({ sub: "ann" });
    };
    const old = await as("ann", { exp: inSeconds(-60) });
    const ann = clients.make(relay.url, transport, { ...old, getToken });
    await connect(ann);
    expect(requested).toBe(1);
  });

  test("a client with a foreign token is disconnected with 3500, and one without a token with 3501", async () => {
    await using relay = await startRelayWithTokens();
    const foreign = await token({ sub: "ann" }, "another secret with more than 32 characters");
    const codes = [{ token: foreign }, {}].map(async (options) => {
      const ann = clients.make(relay.url, transport, options);
      const disconnected = recordEvents(ann, "disconnected");
      ann.connect();
      return (await disconnected.next()).code;
    });
    expect(await Promise.all(codes)).toEqual([3500, 3501]);
  });
});
