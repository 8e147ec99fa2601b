// A backend that is written for Centrifugo's proxy, and clients of the official SDKs, through all that it is asked.
import { expect, test } from "bun:test";
import {
  connect,
  inSeconds,
  recordEvents,
  sdk,
  subscribe,
  type Wire,
} from "../../support/centrifuge/sdk";
import { canRun, SDKS, sdkCommands } from "../../support/centrifuge/sdk-builds";
import { SdkProgram } from "../../support/centrifuge/sdk-program";
import { ProxyBackend } from "../../support/hooks/proxy-backend";
import { RelayProcess } from "../../support/relay/relay-process";
import { within } from "../../support/wait";

const SDK_NAMES = ["centrifuge-python", "centrifuge-go"] as const;

const commandOf = sdkCommands(SDK_NAMES);

/** In whole seconds, two at least: an answer that comes when its time is over refuses. */
const soon = () => inSeconds(3);

/** Knows clients by the token that they give as data, and lets them into rooms of theirs. */
function chatBackend(): ProxyBackend {
  const backend = new ProxyBackend();
  backend.answer("/connect", ({ body, headers }) => {
    const token = headers.get("authorization") ?? body.data?.token;
    if (token === undefined) return { disconnect: { code: 4501, reason: "unauthorized" } };
    const subs = { [`inbox:${token}`]: { data: { unread: 3 } } };
    return {
      result: {
        user: token,
        info: { name: token },
        data: { welcome: token },
        expire_at: soon(),
        subs,
      },
    };
  });
  backend.answer("/refresh", () => ({ result: { expire_at: inSeconds(600) } }));
  backend.answer("/subscribe", ({ body: { channel } }) => {
    if (channel === "room:closed") return { error: { code: 403, message: "permission denied" } };
    return { result: { info: { seat: 1 }, data: { topic: channel }, expire_at: soon() } };
  });
  backend.answer("/sub_refresh", () => ({ result: { expire_at: inSeconds(600) } }));
  backend.answer("/publish", ({ body: { data } }) => {
    if (data.text === "spam") return { error: { code: 1000, message: "no spam" } };
    return { result: { data: { ...data, seen: true }, tags: { kind: "chat" } } };
  });
  backend.answer("/rpc", ({ body: { method, data } }) =>
    method === "double"
      ? { result: { data: { value: data.value * 2 } } }
      : { error: { code: 404, message: "no such method" } },
  );
  return backend;
}

const WIRES: readonly Wire[] = ["websocket", "sse", "http_stream in protobuf"];

test.each(WIRES)("the JavaScript SDK over %s goes through all of it", async (wire) => {
  await using backend = chatBackend();
  await using relay = await RelayProcess.start({ ...backend.settings, BATON_PING_MS: "500" });
  const data = { token: "ada" };
  const client = sdk(relay.url, wire, { data });
  const inbox = recordEvents(client, "subscribed");
  expect((await connect(client)).data).toEqual({ welcome: "ada" });
  expect(await inbox.next()).toMatchObject({ channel: "inbox:ada", data: { unread: 3 } });
  const { publications, subscribed } = await subscribe(client, "room:1", {
    data: { as: "guest" },
  });
  expect(subscribed.data).toEqual({ topic: "room:1" });
  await client.publish("room:1", { text: "hello" });
  const published = await publications.next();
  expect([published.data, published.tags]).toEqual([
    { text: "hello", seen: true },
    { kind: "chat" },
  ]);
  expect(published.info).toMatchObject({
    user: "ada",
    connInfo: { name: "ada" },
    chanInfo: { seat: 1 },
  });
  await expect(client.publish("room:1", { text: "spam" })).rejects.toMatchObject({ code: 1000 });
  expect((await client.rpc("double", { value: 21 })).data).toEqual({ value: 42 });
  await expect(client.rpc("triple", {})).rejects.toMatchObject({
    code: 404,
    message: "no such method",
  });
  const closed = client.newSubscription("room:closed");
  const refused = recordEvents(closed, "unsubscribed");
  closed.subscribe();
  expect(await refused.next()).toMatchObject({ code: 403, reason: "permission denied" });
  // Neither the connection nor the subscription ends, although each would have expired by then.
  const gone = recordEvents(client, "disconnected");
  await backend.questions("/refresh");
  await backend.questions("/sub_refresh");
  expect((await client.rpc("double", { value: 1 })).data).toEqual({ value: 2 });
  expect(gone.rest).toEqual([]);
  client.disconnect();
});

test("the JavaScript SDK stays away when the backend says so, and comes back when it is down for a while", async () => {
  await using backend = chatBackend();
  await using relay = await RelayProcess.start({ ...backend.settings });
  const nobody = sdk(relay.url);
  const away = recordEvents(nobody, "disconnected").next();
  nobody.connect();
  expect(await away).toMatchObject({ code: 4501, reason: "unauthorized" });
  backend.answer("/connect", () => new Response("", { status: 503 }));
  const client = sdk(relay.url, "websocket", { data: { token: "ada" } });
  const errors = recordEvents(client, "error");
  const connected = recordEvents(client, "connected");
  client.connect();
  expect(await errors.next()).toMatchObject({ error: { code: 100 } });
  backend.answer("/connect", () => ({ result: { user: "ada" } }));
  await connected.next();
  backend.answer("/subscribe", () => new Response("", { status: 503 }));
  const room = client.newSubscription("room:1", {
    minResubscribeDelay: 10,
    maxResubscribeDelay: 50,
  });
  const subscribed = recordEvents(room, "subscribed");
  room.subscribe();
  await backend.questions("/subscribe", 2);
  backend.answer("/subscribe", () => ({}));
  await subscribed.next();
  client.disconnect();
});

for (const [name, form] of SDKS.filter(([one]) => SDK_NAMES.some((name) => name === one))) {
  test.skipIf(!canRun(name))(
    `${name} in ${form} connects, subscribes and calls as the backend says`,
    async () => {
      await using backend = chatBackend();
      backend.answer("/connect", () => ({ result: { user: "ada" } }));
      await using relay = await RelayProcess.start({ ...backend.settings });
      const options = { url: relay.url, topics: ["room:1"], clients: [{}], form };
      await using program = new SdkProgram(commandOf(name), options);
      await program.next("subscribed", ({ topic }) => topic === "room:1");
      const [question] = await backend.questions("/connect");
      expect(question?.body).toMatchObject({ transport: "websocket", protocol: form });
      await within(
        "the call",
        program.call(0, "publish", { topic: "room:1", data: { text: "hello" } }),
      );
      expect((await program.next("publication")).data).toEqual({ text: "hello", seen: true });
      const doubled = await program.call(0, "rpc", { topic: "double", data: { value: 21 } });
      expect(doubled.value).toEqual({ value: 42 });
      expect((await program.call(0, "rpc", { topic: "triple", data: {} })).code).toBe(404);
    },
  );
}
