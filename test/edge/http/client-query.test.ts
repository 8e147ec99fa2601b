// The parameters of the addresses that clients connect to, as browsers, polyfills and proxies in front of them write them.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { EventStream } from "../../support/clients/event-stream";
import { handshake, RawSocket } from "../../support/clients/raw-socket";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ BATON_DEFAULT_TOPICS: "first" });
});
afterAll(() => relay[Symbol.asyncDispose]());

let users = 0;

/** The addresses of a new registration. */
async function registered(): Promise<{ user: string; url: string; sse: string }> {
  const user = `u${++users}`;
  return { user, ...(await relay.post("/register", { user_id: user })).json };
}

/** Opens a stream with this query, and says which topics it has. */
async function topicsOf(query: string): Promise<readonly string[]> {
  const { user, sse } = await registered();
  const stream = await EventStream.open(`${sse}?${query}`);
  const { json } = await relay.request("GET", `/users/${user}/connections`);
  await stream.close();
  return json.connections[0].topics.sort();
}

/** The status of a handshake at the socket of a new registration, with this query. */
async function handshakeWith(query: string): Promise<number> {
  const raw = await RawSocket.open(relay.port);
  raw.write(handshake(`${new URL((await registered()).url).pathname}?${query}`));
  const head = await raw.until("\r\n\r\n");
  raw.drop();
  return Number(head.slice(9, 12));
}

const UNKNOWN = [
  ["_=1764358260000"],
  ["utm_source=mail&utm_medium=a%20b"],
  ["more=1&more=2"],
  ["evs_preamble=2064"],
  ["x=%ff"],
  ["%ff=x"],
  ["="],
  ["&&"],
  ["?"],
  ["t"],
];

describe("parameters that the relay does not know", () => {
  test.each(UNKNOWN)("are ignored on /sse: %s", async (text) => {
    expect(await topicsOf(text)).toEqual(["first"]);
    expect(await topicsOf(`${text}&topics=a,b`)).toEqual(["a", "b"]);
  });

  test.each(UNKNOWN)("are ignored on /ws: %s", async (text) => {
    expect(await handshakeWith(text)).toBe(101);
    expect(await handshakeWith(`format=json&${text}`)).toBe(101);
    expect(await handshakeWith(`${text}&format=wrong`)).toBe(422);
  });

  test("are refused where a backend asks, since a misspelt one would change what is done", async () => {
    for (const [method, path] of [
      ["GET", "/topics/a/history?_=1"],
      ["GET", "/topics/a/presence?_=1"],
      ["GET", "/users/1/connections?_=1"],
      ["DELETE", "/users/1/connections?cod=4503"],
      ["DELETE", "/connections/a?_=1"],
    ] as const) {
      const { status, json } = await relay.request(method, path);
      expect([status, json.error.code]).toEqual([422, "invalid_query"]);
    }
  });

  test("are refused where they are a known one misspelt, or known at another address", async () => {
    const misspelt = ["Topics=a", "topic=a", "topics[]=a&topics[]=b", "FORMAT=json"];
    for (const text of misspelt) await expect(topicsOf(text)).rejects.toThrow("invalid_query");
    for (const text of ["formats=json", "topics=a", "since=a"]) {
      expect(await handshakeWith(text)).toBe(422);
    }
  });
});

describe("the topics in the address of a stream", () => {
  test.each([
    ["topics=", []],
    ["topics=a", ["a"]],
    ["topics=a,b", ["a", "b"]],
    ["topics=a%2Cb", ["a", "b"]],
    ["topics=chat%2342%252C43", ["chat#42,43"]],
    ["topics=a,chat%2342%252c43", ["a", "chat#42,43"]],
    ["topics=a&topics=b", ["a", "b"]],
    ["topics=a&_=1&topics=b&topics=a", ["a", "b"]],
    ["topics=chat%2342%2C43&topics=a,b", ["a,b", "chat#42,43"]],
    ["topics=a%252Cb&topics=c", ["a%2Cb", "c"]],
    ["topics=100%2525", ["100%25"]],
    ["topics=a+b", ["a b"]],
  ])("are separated by commas, or each a value of its own: %s", async (text, topics) => {
    expect(await topicsOf(text)).toEqual(topics);
  });

  test.each([["topics=a&topics="], ["topics=&topics="], ["topics=a,"], ["topics=a&topics=b%01"]])(
    "are refused when one of them is no topic name: %s",
    async (text) => {
      await expect(topicsOf(text)).rejects.toThrow("invalid_topic");
    },
  );

  test("are bounded however they are given", async () => {
    const many = Array.from({ length: 129 }, (_, i) => `t${i}`);
    await expect(topicsOf(`topics=${many.join(",")}`)).rejects.toThrow("too_many_topics");
    await expect(topicsOf(`topics=${many.join("&topics=")}`)).rejects.toThrow("too_many_topics");
  });
});

describe("the last event id in the address, as polyfills of EventSource send it", () => {
  /** Publishes three messages to a new topic; opens streams on it that say what they had last. */
  async function missed(query: string, header?: string): Promise<string> {
    const topic = `back${Math.random()}`;
    let place = "";
    for (let n = 1; n <= 3; n++) {
      const { json } = await relay.post("/publish", { topic, message: `m${n}` });
      place = `${encodeURIComponent(topic)}=${json.epoch}`;
    }
    const at = (text: string) =>
      text.replace(/@(\d)/g, (_, n) => encodeURIComponent(`${place}:${n}`));
    const { sse } = await registered();
    const lastEventId = header && decodeURIComponent(at(header));
    const stream = await EventStream.open(`${sse}?topics=${topic}&${at(query)}`, {
      ...(lastEventId !== undefined && { lastEventId }),
    });
    await relay.post("/publish", { topic, message: "live" });
    const data: string[] = [];
    while (data.at(-1) !== "live") data.push((await stream.next()).data);
    await stream.close();
    return data.join();
  }

  test.each([
    ["lastEventId=@1"],
    ["lastEventID=@1"],
    ["last-event-id=@1"],
    ["Last-Event-ID=@1"],
    ["last_event_id=@1"],
    ["_=5&lastEventId=@1"],
    ["since=@3&lastEventId=@1"],
    ["lastEventId=@3&lastEventId=@1"],
    ["lastEventId=&since=@1"],
  ])("counts as the header would: ?%s", async (query) => {
    expect(await missed(query)).toBe("m2,m3,live");
  });

  test("comes after the header, unless that is empty", async () => {
    expect(await missed("lastEventId=@1", "@2")).toBe("m3,live");
    expect(await missed("lastEventId=@2", "")).toBe("m3,live");
  });

  test("does not count twice: a stream that was opened with many topics is opened with it again", async () => {
    const topics = Array.from({ length: 100 }, (_, i) => `${i}`.padStart(30, "t"));
    const { sse } = await registered();
    const address = `${sse}?topics=${topics.join()}`;
    const first = await EventStream.open(address);
    await relay.post("/publish", { topic: topics[0], message: "m" });
    await first.next();
    const { lastEventId } = first;
    await first.close();
    expect(lastEventId.length).toBeGreaterThan(4_000);
    const again = await EventStream.open(
      `${address}&lastEventId=${encodeURIComponent(lastEventId)}`,
    );
    await again.close();
  });

  test("that is no position of this relay has the effect of such a header: the client learns of its loss", async () => {
    expect(await missed("lastEventId=x")).toMatch(/^\{"topics".*"recovered":false.*live$/);
  });
});
