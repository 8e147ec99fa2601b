// What a session may do after a refresh: what its new token says, and nothing that only an older one said.
import { afterEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { connect, inSeconds, recordEvents, SECRET, token } from "../../support/centrifuge/sdk";
import { callApi, SdkClients, startRelayWithTokens } from "../../support/centrifuge/sdk-relay";
import { SessionClient } from "../../support/centrifuge/session-client";
import type { TestRelay } from "../../support/relay/test-relay";

const clients = new SdkClients();
afterEach(clients.disconnect);

const TOPICS = ["a", "b", "c", "d"] as const;

/** The topics in which a publication reaches the session. */
async function reached(relay: TestRelay, session: SessionClient): Promise<string[]> {
  await session.rest();
  for (const channel of TOPICS) await callApi(relay, "publish", { channel, data: 1 });
  const pushes = await session.rest();
  return pushes.flatMap((push) => (push?.pub === undefined ? [] : [push.channel])).toSorted();
}

function tokenOf(claims: object): Promise<string> {
  return token({ sub: "ann", exp: inSeconds(600), ...claims });
}

test("a client of the SDK loses the topics that its new token does not name, and gets those that it names newly", async () => {
  await using relay = await startRelayWithTokens();
  const claims = [
    { exp: inSeconds(1), channels: ["closed:board", "closed:both"] },
    { exp: inSeconds(600), channels: ["closed:both", "closed:other"] },
  ];
  const ann = clients.make(relay.url, "websocket", {
    getToken: () => token({ sub: "ann", ...claims.shift() }),
  });
  const connecting = recordEvents(ann, "connecting");
  const subscribed = recordEvents(ann, "subscribed");
  const unsubscribed = recordEvents(ann, "unsubscribed");
  const publications = recordEvents(ann, "publication");
  await connect(ann);
  await connecting.next();
  await subscribed.take(2);
  expect(await unsubscribed.next()).toMatchObject({ channel: "closed:board" });
  expect(await subscribed.next()).toMatchObject({ channel: "closed:other" });
  for (const channel of ["closed:board", "closed:other", "closed:both"]) {
    await callApi(relay, "publish", { channel, data: channel });
  }
  const received = await publications.take(2);
  expect(received.map(({ channel }) => channel)).toEqual(["closed:other", "closed:both"]);
  expect([connecting.rest, subscribed.rest, unsubscribed.rest]).toEqual([[], [], []]);
});

type Step =
  | { readonly kind: "refresh"; readonly topics: readonly string[] }
  | { readonly kind: "subscribe" | "unsubscribe" | "take away"; readonly topic: string };

const steps = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("refresh" as const), topics: fc.subarray([...TOPICS]) }),
    fc.record({
      kind: fc.constantFrom("subscribe" as const, "unsubscribe" as const, "take away" as const),
      topic: fc.constantFrom(...TOPICS),
    }),
  ),
  { minLength: 1, maxLength: 8 },
);

/** Which topics a session has, and whether its token is the reason. */
function after(before: ReadonlyMap<string, "token" | "own">, step: Step) {
  const topics = new Map(before);
  if (step.kind === "refresh") {
    for (const [topic, why] of before) {
      if (why === "token" && !step.topics.includes(topic)) topics.delete(topic);
    }
    for (const topic of step.topics) if (!topics.has(topic)) topics.set(topic, "token");
  } else if (step.kind !== "subscribe") topics.delete(step.topic);
  else if (!topics.has(step.topic)) topics.set(step.topic, "own");
  return topics;
}

test("after any refreshes, a session has what its last token names and what it subscribed to itself", async () => {
  await using relay = await startRelayWithTokens();
  await fc.assert(
    fc.asyncProperty(fc.subarray([...TOPICS]), steps, async (first, rest) => {
      const session = await SessionClient.connect(relay, {
        token: await tokenOf({ channels: first }),
      });
      let expected: ReadonlyMap<string, "token" | "own"> = new Map(
        first.map((topic) => [topic, "token"]),
      );
      for (const step of rest) {
        if (step.kind === "refresh") {
          await session.ask("refresh", { token: await tokenOf({ channels: step.topics }) });
        } else if (step.kind === "subscribe") {
          const { topic: channel } = step;
          await session.ask("subscribe", { channel, token: await tokenOf({ channel }) });
        } else if (step.kind === "unsubscribe") {
          await session.ask("unsubscribe", { channel: step.topic });
        } else await callApi(relay, "unsubscribe", { client: session.id, channel: step.topic });
        expected = after(expected, step);
      }
      expect(await reached(relay, session)).toEqual([...expected.keys()].toSorted());
      session.drop();
    }),
    { numRuns: 40 },
  );
});

describe("a refresh", () => {
  const presence = async (relay: TestRelay, channel: string) =>
    Object.values((await callApi(relay, "presence", { channel })).result.presence);

  test("changes what others see of the client, in its topics too", async () => {
    await using relay = await startRelayWithTokens();
    const subs = (info: number) => ({ info, subs: { "news:a": { info } } });
    const session = await SessionClient.connect(relay, { token: await tokenOf(subs(1)) });
    await session.ask("subscribe", {
      channel: "news:b",
      token: await tokenOf({ channel: "news:b", info: 1 }),
    });
    expect(await presence(relay, "news:b")).toMatchObject([{ conn_info: 1, chan_info: 1 }]);
    await session.ask("refresh", { token: await tokenOf(subs(2)) });
    await session.ask("sub_refresh", {
      channel: "news:b",
      token: await tokenOf({ channel: "news:b", info: 3 }),
    });
    expect(await presence(relay, "news:a")).toMatchObject([{ conn_info: 2, chan_info: 2 }]);
    expect(await presence(relay, "news:b")).toMatchObject([{ conn_info: 2, chan_info: 3 }]);
  });

  test("with a token that names more topics than a connection may have closes it with 3505", async () => {
    await using relay = await startRelayWithTokens({ BATON_CONNECTION_TOPICS_MAX: "2" });
    const session = await SessionClient.connect(relay, {
      token: await tokenOf({ channels: ["a"] }),
    });
    session.send("refresh", { token: await tokenOf({ channels: ["a", "b", "c"] }) });
    expect((await session.closed).code).toBe(3505);
  });

  test("with a token that names an unknown topic gets error 102 and changes nothing", async () => {
    await using relay = await startRelayWithTokens({ BATON_KNOWN_PREFIXES_ONLY: "1" });
    const session = await SessionClient.connect(relay, {
      token: await tokenOf({ channels: ["a"] }),
    });
    const channels = ["nws:b"];
    const { error } = await session.ask("refresh", { token: await tokenOf({ channels }) });
    expect(error.code).toBe(102);
    expect(await reached(relay, session)).toEqual(["a"]);
  });

  test("with another user's token closes the connection with 3500, whatever that names", async () => {
    await using relay = await startRelayWithTokens();
    const session = await SessionClient.connect(relay, { token: await tokenOf({}) });
    session.send("refresh", { token: await token({ sub: "bob", channels: ["a"] }, SECRET) });
    expect((await session.closed).code).toBe(3500);
  });
});
