// GET /explain: what it refuses, and the answers that need one relay alone. test/contract/deployment-operator.test.ts has the
// usual ones.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Folder } from "../../support/machine/folder";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

const RULES = {
  "staff:": { allow_subscribe: [] },
  "live:": { history_size: 0 },
};

const folder = new Folder();
let relay: TestRelay;
beforeAll(async () => {
  const file = join(folder.path, "topics.json");
  await Bun.write(file, JSON.stringify(RULES));
  relay = await startRelay({
    BATON_API_KEYS: "k",
    BATON_TOPICS_FILE: file,
    BATON_KNOWN_PREFIXES_ONLY: "1",
    BATON_ANONYMOUS: "1",
    BATON_JOURNAL_MAX: "3",
  });
});
afterAll(async () => {
  await relay[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const KEY = { "x-api-key": "k" };

const get = (query: string, headers: Record<string, string> = KEY) =>
  relay.request("GET", `/explain?${query}`, { headers });

const explain = async (query: Record<string, string>) => {
  const { status, text, json } = await get(new URLSearchParams(query).toString());
  expect(status, text).toBe(200);
  return json;
};

const publish = async (body: Record<string, unknown>): Promise<string> => {
  const { status, text, json } = await relay.post("/publish", { message: "m", ...body }, KEY);
  expect(status, text).toBe(200);
  return `${json.epoch}:${json.offset}`;
};

async function open(user: string, topics: readonly string[], query = "") {
  const { json } = await relay.post("/register", { user_id: user, topics }, KEY);
  const client = await relay.open(`${json.url}${query}`);
  await client.settled();
  return client;
}

describe("GET /explain", () => {
  test("needs an API key", async () => {
    const { status, json } = await get("topic=a&user=1", {});
    expect([status, json.error.code]).toEqual([401, "unauthorized"]);
  });

  test.each([
    ["", "invalid_query"],
    ["topic=a", "invalid_query"],
    ["user=1", "invalid_query"],
    ["topic=a&user=1&other=2", "invalid_query"],
    ["topic=a&position=7", "invalid_query"],
    ["topic=a&position=e:0", "invalid_query"],
    ["topic=a&position=e:1:2", "invalid_query"],
    ["topic=a&position=e:9007199254740993", "invalid_query"],
    ["topic=&user=1", "invalid_topic"],
    ["topic=a%00&user=1", "invalid_topic"],
    ["topic=a&user=", "invalid_user"],
  ])("refuses ?%s with %s", async (query, code) => {
    const { status, json } = await get(query);
    expect([status, json.error.code]).toEqual([422, code]);
  });

  test("says what became of a publication, whoever the user is", async () => {
    const position = await publish({ topic: "p" });
    const all = await explain({ topic: "p", position });
    expect(all.findings[0].message).toContain("all subscribers. The topic has 0 subscribers now.");
    const only = await publish({ topic: "p", user_id: "somebody" });
    const one = await explain({ topic: "p", position: only });
    expect([one.verdict, one.publication]).toEqual([
      "published",
      { position: only, state: "kept", top: only, user_id: "somebody" },
    ]);
  });

  test("says that no rule names a topic's prefix", async () => {
    expect((await explain({ topic: "other:a", user: "1" })).verdict).toBe("unknown_topic");
  });

  test("says that a plain client may have been sent it, because its protocol keeps no positions", async () => {
    const client = await open("plain", ["q"]);
    const position = await publish({ topic: "q" });
    await client.next();
    const { verdict, connections } = await explain({ topic: "q", user: "plain", position });
    expect(verdict).toBe("sent_if_subscribed");
    expect(connections).toMatchObject([
      { protocol: "plain", state: "subscribed", sent_to: position },
    ]);
  });

  test("says what is known of a topic without history, where nothing has a position", async () => {
    const client = await open("lively", ["live:a"], "?format=json");
    client.send({ topics: ["live:a"] });
    await client.next();
    const answer = await explain({ topic: "live:a", user: "lively", position: "e:1" });
    expect([answer.verdict, answer.publication.state]).toEqual(["sent", "unnumbered"]);
  });

  test("says that a client subscribed only after it was published", async () => {
    const position = await publish({ topic: "r" });
    const client = await open("late", [], "?format=json");
    client.send({ topics: ["r"] });
    await client.next();
    const { verdict, findings } = await explain({ topic: "r", user: "late", position });
    expect(verdict).toBe("subscribed_later");
    expect(findings[0].message).toContain(`has the topic from ${position} on`);
    client.drop();
    const verdictNow = async () => (await explain({ topic: "r", user: "late", position })).verdict;
    await until("its end", async () => (await verdictNow()) !== "subscribed_later");
    expect(await verdictNow()).toBe("offline");
  });

  test("says that a publication was not meant for the connection that published it", async () => {
    const { json } = await relay.post("/register", { user_id: "author", topics: [] }, KEY);
    const client = await relay.open(`${json.url}?format=json`);
    client.send({ topics: ["s"] });
    await client.next();
    const position = await publish({ topic: "s", except: json.url.slice(-32) });
    expect((await explain({ topic: "s", user: "author", position })).verdict).toBe("excepted");
  });

  test("says that the topic's rule does not allow clients to subscribe", async () => {
    await open("outsider", []);
    const { verdict, findings } = await explain({ topic: "staff:a", user: "outsider" });
    expect(verdict).toBe("not_allowed");
    expect(findings[0].message).toContain(
      'The rule for topics that begin with "staff:" does not let',
    );
  });

  test("says that the marks of a name keep a user out who is not connected either", async () => {
    const { findings } = await explain({ topic: "$secret", user: "away" });
    const codes = findings.map(({ code }: { code: string }) => code);
    expect(codes).toEqual(["offline", "not_allowed"]);
    expect(findings[1].message).toContain("a token for just this topic");
  });

  test("remembers the newest ends alone, and since when it does", async () => {
    const begun = Date.now();
    for (const user of ["first", "second", "third", "fourth"]) {
      const client = await open(user, ["t"]);
      await client.close();
      const ends = async () => (await explain({ topic: "t", user })).ends.length;
      await until("the end to be noted", async () => (await ends()) === 1);
    }
    const { ends, remembered_since, findings } = await explain({ topic: "t", user: "first" });
    expect(ends).toEqual([]);
    expect(findings[0].message).toContain("No end of a connection is remembered");
    expect(Date.parse(remembered_since)).toBeGreaterThanOrEqual(begun - 1);
    expect((await explain({ topic: "t", user: "second" })).ends).toHaveLength(1);
  });
});
