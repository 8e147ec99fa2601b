// What clients may do with tokens, with marks in topic names, and with rules (docs/access.md).
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SECRET } from "../../support/centrifuge/sdk";
import {
  base64url,
  connect,
  outcomes as outcomesOf,
  signed,
} from "../../support/centrifuge/signed-tokens";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";
import { within } from "../../support/wait";

const now = (): number => Math.floor(Date.now() / 1000);

/** "subscribed", or the code of the error or close that a subscribe command is answered with. */
async function subscribe(relay: TestRelay, user: string, channel: string, token = "") {
  const { client } = await connect(relay, signed({ sub: user }));
  client.send({ id: 2, subscribe: { channel, token } });
  const reply = client.next().then((frame) => JSON.parse(frame));
  const first = await within("an answer", Promise.race([reply, client.closed]));
  client.drop();
  return first.subscribe === undefined ? (first.error?.code ?? first.code) : "subscribed";
}

describe("user 42 with a token", () => {
  let relay: TestRelay;
  beforeAll(async () => {
    relay = await startRelay({
      BATON_TOKEN_SECRET: SECRET,
      BATON_TOPICS_FILE: topicsFile({ "open:": { allow_subscribe: ["client"] } }),
    });
  });
  afterAll(() => relay[Symbol.asyncDispose]());

  const none = (): string => "";
  const topicToken = (claims: object) => (): string =>
    signed({ sub: "42", channel: "$a", ...claims });
  const forged = (): string =>
    `${base64url('{"alg":"none"}')}.${base64url('{"sub":"42","channel":"$a"}')}.`;
  test.each<[string, string, number | "subscribed", () => string]>([
    ["a topic that its rule allows", "open:a", "subscribed", none],
    ["a topic that no rule allows", "a", 103, none],
    ["a private topic without a token", "$a", 103, none],
    ["a private topic whose prefix is allowed", "$open:a", 103, none],
    ["a private topic with a token", "$a", "subscribed", topicToken({})],
    ["any topic with a token", "a", "subscribed", topicToken({ channel: "a" })],
    ["a private topic with a token for another topic", "$b", 3500, topicToken({})],
    ["a private topic with another user's token", "$a", 3500, topicToken({ sub: "41" })],
    ["a private topic with another connection's token", "$a", 3500, topicToken({ client: "x" })],
    ["a private topic with a connection's token", "$a", 103, () => signed({ sub: "42" })],
    ["a private topic with an expired token", "$a", 109, topicToken({ exp: now() - 60 })],
    [
      "a private topic with a token whose expire_at has passed",
      "$a",
      109,
      topicToken({ exp: now() + 60, expire_at: now() - 60 }),
    ],
    [
      "a private topic with a token that never expires",
      "$a",
      "subscribed",
      topicToken({ expire_at: 0 }),
    ],
    [
      "a private topic with a token whose expire_at is a text",
      "$a",
      103,
      topicToken({ expire_at: "x" }),
    ],
    ["a private topic with a forged token", "$a", 103, forged],
    ["a topic that names the user", "chat#41,42", "subscribed", none],
    ["a topic that names other users", "chat#41,43", 103, none],
    ["a topic that names a part of the user", "chat#4", 103, none],
    ["a topic that names no user", "chat#", 103, none],
    ["a topic whose last list names another user", "chat#42#41", 103, none],
    ["the user's personal topic", "#42", "subscribed", none],
    ["another user's personal topic", "#41", 103, none],
  ])("subscribing to %s (%s) gives %p", async (_, topic, outcome, token) => {
    expect(await subscribe(relay, "42", topic, token())).toBe(outcome);
  });

  test("may not publish, or read history or presence, where no rule allows it", async () => {
    const { client } = await connect(relay, signed({ sub: "42" }));
    client.send(
      `{"id":2,"publish":{"channel":"open:a","data":1}}\n{"id":3,"history":{"channel":"open:a"}}\n{"id":4,"presence":{"channel":"open:a"}}`,
    );
    const codes = (await client.take(3)).map((frame) => JSON.parse(frame).error.code);
    expect(codes).toEqual([103, 103, 108]);
    client.drop();
  });
});

describe("marks in the name of a topic", () => {
  let relay: TestRelay;
  beforeAll(async () => {
    const all = ["client", "anonymous"];
    const rule = {
      allow_subscribe: all,
      allow_publish: all,
      allow_history: all,
      allow_presence: all,
    };
    relay = await startRelay({
      BATON_TOKEN_SECRET: SECRET,
      BATON_ANONYMOUS: "1",
      BATON_TOPICS_FILE: topicsFile({ "": { ...rule, presence: true } }),
    });
  });
  afterAll(() => relay[Symbol.asyncDispose]());

  const outcomes = (token: string, channel: string, first: object[] = []) =>
    outcomesOf(relay, token, [
      ...first,
      { publish: { channel, data: 1 } },
      { history: { channel, limit: 1 } },
      { presence: { channel } },
      { presence_stats: { channel } },
    ]);
  const allowed = Array(4).fill("done");
  const denied = Array(4).fill(103);

  test.each([
    ["a topic of other users", "chat#41,43"],
    ["the personal topic of another user", "#41"],
    ["a private topic", "$orders"],
    ["a private topic that names it", "$orders#42"],
  ])("allow user 42 nothing with %s, whatever its rule allows", async (_, topic) => {
    expect(await outcomes(signed({ sub: "42" }), topic)).toEqual(denied);
  });

  test.each([["#"], ["chat#"], ["chat#,42"], ["$orders"]])(
    "allow the anonymous user nothing with %s",
    async (topic) => {
      expect(await outcomes("", topic)).toEqual(denied);
    },
  );

  test("allow everything to the users whom they name or who have a token", async () => {
    expect(await outcomes(signed({ sub: "42" }), "chat#41,42")).toEqual(allowed);
    expect(await outcomes(signed({ sub: "42" }), "#42")).toEqual(allowed);
    const token = signed({ sub: "42", channel: "$orders" });
    const subscribe = { subscribe: { channel: "$orders", token } };
    const codes = await outcomes(signed({ sub: "42" }), "$orders", [subscribe]);
    expect(codes).toEqual(["done", ...allowed]);
  });
});

test("what a rule allows subscribers is for those who are subscribed, and for the anonymous user only where it says so", async () => {
  const subscribers = {
    presence: true,
    allow_subscribe: ["client", "anonymous"],
    allow_publish: ["subscriber"],
    allow_history: ["subscriber"],
    allow_presence: ["subscriber", "anonymous"],
  };
  await using relay = await startRelay({
    BATON_TOKEN_SECRET: SECRET,
    BATON_ANONYMOUS: "1",
    BATON_TOPICS_FILE: topicsFile({ "": subscribers }),
  });
  const channel = "room";
  const uses = [
    { publish: { channel, data: 1 } },
    { history: { channel, limit: 1 } },
    { presence: { channel } },
  ];
  const subscribed = [{ subscribe: { channel } }, ...uses];
  const user = signed({ sub: "42" });
  expect(await outcomesOf(relay, user, uses)).toEqual([103, 103, 103]);
  expect(await outcomesOf(relay, user, subscribed)).toEqual(["done", "done", "done", "done"]);
  expect(await outcomesOf(relay, "", uses)).toEqual([103, 103, 103]);
  expect(await outcomesOf(relay, "", subscribed)).toEqual(["done", 103, 103, "done"]);
});

test("a user has no personal topic if its name would name other users too, or no topic at all", async () => {
  await using relay = await startRelay({ BATON_TOKEN_SECRET: SECRET, BATON_PERSONAL_TOPICS: "1" });
  const topicsOf = async (sub: string) => {
    const { first, client } = await connect(relay, signed({ sub }));
    client.drop();
    return Object.keys(first.connect.subs ?? {});
  };
  expect(await topicsOf("42")).toEqual(["#42"]);
  expect(await topicsOf("$a b")).toEqual(["#$a b"]);
  for (const user of ["", "42,43", "a#b", "#", ",", "💥".repeat(128)]) {
    expect(await topicsOf(user), user).toEqual([]);
  }
});

test("with API keys alone, clients need BATON_ANONYMOUS, and may then do what rules allow", async () => {
  const BATON_API_KEYS = "a-long-enough-key";
  await using closed = await startRelay({ BATON_API_KEYS });
  expect((await connect(closed, "")).code).toBe(3501);
  expect((await connect(closed, signed({ sub: "42" }))).code).toBe(3500);
  await using relay = await startRelay({
    BATON_API_KEYS,
    BATON_ANONYMOUS: "1",
    BATON_TOPICS_FILE: topicsFile({
      "all:": { allow_subscribe: ["client", "anonymous"] },
      "known:": { allow_subscribe: ["client"] },
    }),
  });
  const { client } = await connect(relay, "");
  const of = async (id: number, command: object) => {
    client.send({ id, ...command });
    return JSON.parse(await client.next());
  };
  expect((await of(2, { subscribe: { channel: "all:a" } })).subscribe).toBeDefined();
  expect((await of(3, { subscribe: { channel: "known:a" } })).error.code).toBe(103);
  expect((await of(4, { publish: { channel: "all:a", data: 1 } })).error.code).toBe(103);
  expect((await of(5, { subscribe: { channel: "#" } })).error.code).toBe(103);
  client.drop();
});
