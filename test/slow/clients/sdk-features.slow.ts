// Each feature of the official SDKs of Centrifugo that run in a program of their own, in both forms of the protocol.
import { expect, test } from "bun:test";
import { inSeconds, token } from "../../support/centrifuge/sdk";
import { canRun, SDKS, sdkCommands } from "../../support/centrifuge/sdk-builds";
import { SdkProgram } from "../../support/centrifuge/sdk-program";
import { startRelayWithTokens, WITH_KEY } from "../../support/centrifuge/sdk-relay";
import { freePort } from "../../support/machine/free-port";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import type { TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

const commandOf = sdkCommands();

interface SdkInfo {
  readonly topicInfo: { readonly name: string };
}

const isAnns = ({ client }: { client: number }) => client === 0;
const isBobs = ({ client }: { client: number }) => client === 1;
const isEves = ({ client }: { client: number }) => client === 2;

/** Ann, whose first token has expired and whose second one subscribes her to a topic, Bob, and Eve with a false token. */
async function connectAnnBobAndEve(
  relay: TestRelay,
  [name, form]: (typeof SDKS)[number],
): Promise<SdkProgram> {
  const fresh = await token({ sub: "ann", channels: ["given"], info: { name: "Ann" } });
  return new SdkProgram(commandOf(name), {
    form,
    url: relay.url,
    topics: ["room", "closed"],
    clients: [
      { token: await token({ sub: "ann", exp: inSeconds(-60) }), fresh },
      { token: await token({ sub: "bob" }) },
      { token: await token({ sub: "eve" }, "another secret with more than 32 characters") },
    ],
  });
}

/** Runs a test for each SDK that can run here, with Ann, Bob and Eve. */
function forEachSdk(title: string, run: (relay: TestRelay, clients: SdkProgram) => Promise<void>) {
  for (const sdk of SDKS) {
    const [name, form] = sdk;
    test.skipIf(!canRun(name))(`${name} in ${form} ${title}`, async () => {
      await using relay = await startRelayWithTokens();
      await using clients = await connectAnnBobAndEve(relay, sdk);
      await clients.next("subscribed", (one) => isAnns(one) && one.topic === "room");
      await clients.next("subscribed", (one) => isAnns(one) && one.topic === "given");
      await clients.next("subscribed", isBobs);
      await clients.next("unsubscribed", isBobs);
      await run(relay, clients);
    });
  }
}

forEachSdk("requests a new token, and is refused a false token", async (_, clients) => {
  expect(clients.of(0, "token_requested")).toHaveLength(1);
  expect((await clients.next("disconnected", isEves)).code).toBe(3500);
});

forEachSdk("is refused a topic that no rule opens, and stays connected", async (_, clients) => {
  const refused = await clients.next("unsubscribed", isBobs);
  expect(refused).toMatchObject({ topic: "closed", code: 103 });
  expect(clients.of(1, "disconnected")).toEqual([]);
});

forEachSdk(
  "publishes, and receives what clients and the backend publish",
  async (relay, clients) => {
    expect((await clients.call(0, "publish", { topic: "room", data: [1] })).value).toEqual({});
    const info = { user: "ann", info: { name: "Ann" } };
    const atBob = await clients.next("publication", isBobs);
    expect(atBob).toMatchObject({ topic: "room", data: [1], offset: 1, info });
    await relay.post("/api/publish", { channel: "given", data: "x" }, WITH_KEY);
    const isGiven = (one: { topic?: string }) => one.topic === "given";
    expect(await clients.next("publication", isGiven)).toMatchObject({ client: 0, data: "x" });
    const fromBackend = { channel: "room", data: { n: 1.5 }, tags: { a: "b" } };
    await relay.post("/api/publish", fromBackend, WITH_KEY);
    const second = await clients.next("publication", (one) => isBobs(one) && one.offset === 2);
    expect(second).toMatchObject({ data: { n: 1.5 }, tags: { a: "b" } });
    expect((await clients.call(0, "publish", { topic: "other", data: 1 })).code).toBe(103);
    expect((await clients.call(0, "rpc", { topic: "any", data: {} })).code).toBe(108);
  },
);

forEachSdk("reads history in pages and from its end", async (_, clients) => {
  const history = async (page: object) =>
    (await clients.call(0, "history", { topic: "room", ...page })).value;
  for (const data of [1, 2, 3]) await clients.call(0, "publish", { topic: "room", data });
  const { epoch } = await history({});
  expect(await history({ limit: 10 })).toMatchObject({ offset: 3, data: [1, 2, 3] });
  expect(await history({ since: { offset: 1, epoch }, limit: -1 })).toMatchObject({ data: [2, 3] });
  expect(await history({ limit: 2, reverse: true })).toMatchObject({ data: [3, 2] });
});

forEachSdk(
  "reads presence, and sees joins, leaves and what the backend does",
  async (relay, clients) => {
    const bobsId = (await clients.next("connected", isBobs)).id;
    const isBob = (one: { info?: { client: string } }) => one.info?.client === bobsId;
    const present = await clients.call(0, "presence", { topic: "room" });
    const users = present.value.map(({ user }: { user: string }) => user);
    expect(users.toSorted()).toEqual(["ann", "bob"]);
    const stats = await clients.call(0, "presence_stats", { topic: "room" });
    expect(stats.value).toEqual({ clients: 2, users: 2 });

    await clients.call(1, "unsubscribe", { topic: "room" });
    await clients.next("leave", (one) => isAnns(one) && isBob(one));
    const before = clients.events.length;
    await clients.call(1, "subscribe", { topic: "room" });
    await clients.next("join", (one) => isAnns(one) && isBob(one), before);

    await relay.post("/api/unsubscribe", { user: "ann", channel: "room" }, WITH_KEY);
    const isRoom = (one: { client: number; topic?: string }) => isAnns(one) && one.topic === "room";
    expect((await clients.next("unsubscribed", isRoom)).code).toBe(2000);
    await relay.post("/api/disconnect", { user: "ann" }, WITH_KEY);
    expect((await clients.next("disconnected", isAnns)).code).toBe(3503);
  },
);

for (const [name, form] of SDKS) {
  test.skipIf(!canRun(name))(
    `${name} in ${form} has its personal topic and those that the backend chooses, and recovers them after a lost connection`,
    async () => {
      await using relay = await startRelayWithTokens({ BATON_PERSONAL_TOPICS: "1" });
      await using network = await TcpProxy.start(relay.url);
      await using program = new SdkProgram(commandOf(name), {
        form,
        url: network.through(relay.url),
        topics: [],
        clients: [{ token: await token({ sub: "ann", channels: ["given"] }) }],
      });
      const subscriptions = async (topic: string, count: number) => {
        const all = () => program.of(0, "subscribed").filter((one) => one.topic === topic);
        await program.until(`${topic} to be subscribed`, () => all().length === count);
        return all()[count - 1];
      };
      const publish = (channel: string, data: string) =>
        relay.post("/api/publish", { channel, data }, WITH_KEY);
      const chosen = ["given", "#ann"];
      for (const topic of chosen) await subscriptions(topic, 1);
      for (const topic of chosen) await publish(topic, "before");
      const received = (topic: string) =>
        program.of(0, "publication").filter((one) => one.topic === topic);
      const have = (count: number) => () => chosen.every((one) => received(one).length === count);
      await program.until("what was published before", have(1));

      // Until it is connected to the relay again, the client finds nobody at its address.
      network.port = freePort();
      network.cutAll();
      await program.until("the cut", () => program.of(0, "connecting").length > 1);
      for (const topic of chosen) await publish(topic, "meanwhile");
      network.port = Number(new URL(relay.url).port);
      await program.until("what was published meanwhile", have(2));
      for (const topic of chosen) {
        expect(await subscriptions(topic, 2)).toMatchObject({ recovered: true });
        expect(received(topic).map(({ data }) => data)).toEqual(["before", "meanwhile"]);
      }

      await relay.post("/api/subscribe", { user: "ann", channel: "added" }, WITH_KEY);
      await subscriptions("added", 1);
      await publish("added", "new");
      await program.next("publication", (one) => one.topic === "added");
      await relay.post("/api/unsubscribe", { user: "ann", channel: "added" }, WITH_KEY);
      await program.next("unsubscribed", (one) => one.topic === "added");
    },
  );
}

test("all of them refresh tokens of connections and of topics that expire, get what the new ones say, and stay", async () => {
  await using relay = await startRelayWithTokens();
  await using stack = new AsyncDisposableStack();
  const ofTopic = (exp: number | undefined, name: string) =>
    token({ sub: "ann", channel: "$own", info: { name }, ...(exp && { exp: inSeconds(exp) }) });
  const programs: SdkProgram[] = [];
  for (const [name, form] of SDKS.filter(([sdk]) => canRun(sdk))) {
    // One after the other, each before its tokens expire, however long the start of its program takes here.
    const client = {
      token: await token({ sub: "ann", exp: inSeconds(20), channels: ["taken"] }),
      fresh: await token({ sub: "ann", channels: ["given"] }),
      topicTokens: {
        $own: [
          await ofTopic(-60, "expired"),
          await ofTopic(22, "old"),
          await ofTopic(undefined, "new"),
        ],
      },
    };
    const options = { url: relay.url, topics: ["room", "$own"], clients: [client], form };
    const program = stack.use(new SdkProgram(commandOf(name), options));
    await program.next("subscribed", ({ topic }) => topic === "$own");
    programs.push(program);
  }
  const ofEach = async (what: string, isMet: (program: SdkProgram) => boolean) => {
    for (const program of programs) await program.until(what, () => isMet(program));
  };
  await ofEach("a new token", (program) => program.of(0, "token_requested").length > 0);
  await ofEach(
    "all tokens for the topic",
    (program) => program.of(0, "topic_token_requested").length === 3,
  );
  for (const program of programs) {
    await program.next("subscribed", ({ topic }) => topic === "given");
    await program.next("unsubscribed", ({ topic }) => topic === "taken");
    const infos = async () => (await program.call(0, "presence", { topic: "$own" })).value;
    const areNew = (all: SdkInfo[]) => all.every(({ topicInfo }) => topicInfo.name === "new");
    const areAllNew = async () => {
      const all: SdkInfo[] = await infos();
      return all.length === programs.length && areNew(all);
    };
    await until("all to be here with the new token", areAllNew);
    expect(program.of(0, "connected")).toHaveLength(1);
    expect(program.of(0, "disconnected")).toEqual([]);
    const own = program.of(0, "subscribed").filter(({ topic }) => topic === "$own");
    expect(own).toHaveLength(1);
  }
});
