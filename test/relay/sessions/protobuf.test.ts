// The protobuf form of the Centrifuge protocol on the wire: how a client asks for it, that both forms are one relay, and what
// becomes of frames that are not of it.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { encodeCommands } from "../../support/centrifuge/protobuf";
import { linesOf, SessionClient } from "../../support/centrifuge/session-client";
import { Client } from "../../support/clients/client";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({
    BATON_TOPICS_FILE: topicsFile({
      "room:": { presence: true, join_leave: true },
      "waves:": { wave_ms: 1_000 },
    }),
    BATON_FRAME_BYTES: "80000",
  });
});
afterAll(() => relay[Symbol.asyncDispose]());

const BINARY = "centrifuge-protobuf";
const TEXT = "centrifuge-json";

/** Opens a socket, which takes binary frames as the lines that say the same. */
const open = (query = "", protocols?: string[]): Promise<Client> => {
  const url = `${relay.url.replace("http", "ws")}/connection/websocket${query}`;
  return Client.open(url, protocols && { protocols }, (bytes) => `binary ${linesOf(bytes)}`);
};

const CONNECT = encodeCommands([{ id: 1, connect: {} }]);

describe("a client is answered in protobuf when it", () => {
  test.each([
    ["offers the subprotocol", "", [BINARY], BINARY],
    ["offers it before the one for JSON", "", [BINARY, TEXT], BINARY],
    ["offers it after one that is not known", "", ["other", BINARY], BINARY],
    ["says so in format", "?format=protobuf", undefined, ""],
    ["says so in cf_protocol", "?x=1&cf_protocol=protobuf", undefined, ""],
    ["says so in the address, and offers the subprotocol", "?format=protobuf", [BINARY], BINARY],
  ])("%s", async (_, query, protocols, agreed) => {
    const client = await open(query, protocols);
    client.send(CONNECT);
    expect(await client.next()).toStartWith('binary {"id":1,"connect":{"client":"');
    expect(client.subprotocol).toBe(agreed);
    client.close();
  });
});

describe("a client is answered in JSON when it", () => {
  test.each([
    ["says nothing", "", undefined, ""],
    ["offers that subprotocol first", "", [TEXT, BINARY], TEXT],
    ["asks for another format", "?format=json&cf_protocol=json", undefined, ""],
  ])("%s", async (_, query, protocols, agreed) => {
    const client = await open(query, protocols);
    client.send({ id: 1, connect: {} });
    expect(await client.next()).toStartWith('{"id":1,"connect":{"client":"');
    expect(client.subprotocol).toBe(agreed);
    client.close();
  });
});

test("clients of both forms receive what either publishes, with the same bytes, offsets and infos", async () => {
  const forms = ["json", "protobuf", "protobuf", "json"] as const;
  const topics = ["room:both"];
  const [watcher, ...others] = await Promise.all(
    forms.map((form) => SessionClient.connect(relay, { topics, form })),
  );
  const sessions = [watcher as SessionClient, ...others];
  for (const session of sessions) await session.rest();
  const data = [{ n: 1.5, text: "é" }, null, "text"];
  for (const [i, value] of data.entries()) {
    const publisher = sessions[i % 2] as SessionClient;
    expect(await publisher.ask("publish", { channel: "room:both", data: value })).toMatchObject({
      publish: {},
    });
    const pushes = await Promise.all(sessions.map((session) => session.next()));
    for (const push of pushes) {
      expect(push).toMatchObject({
        channel: "room:both",
        pub: { data: value, offset: i + 1, info: { client: publisher.id } },
      });
    }
  }
  const gone = sessions.pop() as SessionClient;
  gone.close();
  for (const session of sessions) {
    expect((await session.next()).leave.info.client).toBe(gone.id);
    session.close();
  }
});

test.each(["json", "protobuf"] as const)(
  "a client in %s takes the publications of a wave from one frame",
  async (form) => {
    const url = `${relay.url.replace("http", "ws")}/connection/websocket`;
    const protocols = form === "json" ? [TEXT] : [BINARY];
    const client = await Client.open(url, { protocols }, linesOf);
    const frame = (commands: object[]) =>
      form === "json"
        ? commands.map((one) => JSON.stringify(one)).join("\n")
        : encodeCommands(commands);
    const topic = `waves:${form}`;
    client.send(
      frame([
        { id: 1, connect: {} },
        { id: 2, subscribe: { channel: topic } },
      ]),
    );
    await client.take(2);
    const messages: string[] = [];
    for (let frames = 0; frames === messages.length; ) {
      // The first leaves at once, the others within a second, or before somebody subscribes.
      const expected = messages.length + 3;
      for (const n of [1, 2, 3]) await relay.publish(topic, String(messages.length + n));
      (await SessionClient.connect(relay, { form, topics: [topic] })).close();
      for (; messages.length < expected; frames++) {
        const lines = (await client.next()).split("\n");
        messages.push(...lines.map((line) => JSON.parse(line).push.pub.data));
      }
    }
    expect(messages).toEqual(messages.map((_, i) => String(i + 1)));
    client.close();
  },
);

test("a client of each form resumes with the position that a client of the other form has", async () => {
  const [text, binary] = await Promise.all(
    (["json", "protobuf"] as const).map((form) => SessionClient.connect(relay, { form })),
  );
  const channel = "resumed";
  for (const message of ["1", "2", "3"]) await relay.publish(channel, message);
  const { history } = await (binary as SessionClient).ask("history", { channel });
  const since = { recover: true, offset: 1, epoch: history.epoch };
  const { subscribe } = await (text as SessionClient).ask("subscribe", { channel, ...since });
  expect(subscribe.publications).toHaveLength(2);
  expect(await (binary as SessionClient).ask("subscribe", { channel, ...since })).toMatchObject({
    subscribe,
  });
});

test("data that is not JSON is refused with a sentence, reaches nobody, and does not end the connection", async () => {
  const reader = await SessionClient.connect(relay, { topics: ["bytes"] });
  const session = await SessionClient.connect(relay, { form: "protobuf" });
  for (const data of [new Uint8Array(), new Uint8Array([0xff]), new TextEncoder().encode("hi")]) {
    const { error } = await session.ask("publish", { channel: "bytes", data });
    expect(error).toEqual({ code: 107, message: "bad request: data must be JSON in UTF-8" });
  }
  const large = await session.ask("publish", { channel: "bytes", data: "x".repeat(70_000) });
  expect(large.error).toEqual({ code: 106, message: "limit exceeded" });
  await session.ask("publish", { channel: "bytes", data: "JSON" });
  expect(await reader.next()).toEqual({
    channel: "bytes",
    pub: expect.objectContaining({ data: "JSON", offset: 1 }),
  });
});

test.each([
  ["a frame of text", '{"id":1,"connect":{}}', 3501],
  ["an empty frame", new Uint8Array(), 3501],
  ["a frame that ends too early", CONNECT.subarray(0, 3), 3501],
  ["JSON in a binary frame", new TextEncoder().encode('{"id":1,"connect":{}}'), 3501],
  ["a frame over BATON_FRAME_BYTES", new Uint8Array(80_001), 1009],
])("%s closes a connection in protobuf", async (_, frame, code) => {
  const client = await open("", [BINARY]);
  client.send(frame);
  expect(await client.closed).toMatchObject({ code });
});

test("a client that answers pings with the byte 0 stays, and one that does not is closed with 3012", async () => {
  await using quick = await startRelay({ BATON_PING_MS: "100", BATON_PONG_MS: "1500" });
  const url = `${quick.url.replace("http", "ws")}/connection/websocket?format=protobuf`;
  const clients = await Promise.all(
    [1, 2].map(() => Client.open(url, {}, (bytes) => bytes.toHex())),
  );
  const [alive, silent] = clients as [Client, Client];
  for (const client of clients) {
    client.send(CONNECT);
    await client.next();
  }
  let hasClosed = false;
  void silent.closed.then(() => (hasClosed = true));
  while (!hasClosed) {
    expect(await alive.next()).toBe("00");
    alive.send(new Uint8Array(1));
  }
  expect(await silent.closed).toEqual({ code: 3012, reason: "no pong" });
  await alive.close();
});

test("a session of an SDK that could not be run here, byte for byte as the sources for Dart and Swift write and read it", async () => {
  await using quick = await startRelay({ BATON_PING_MS: "100", BATON_PONG_MS: "10000" });
  const url = `${quick.url.replace("http", "ws")}/connection/websocket`;
  const client = await Client.open(url, { protocols: [BINARY] }, (frame) => frame.toHex());
  /** One command in a frame, behind its length. */
  const send = (hex: string) => {
    const command = Buffer.from(hex.replaceAll(" ", ""), "hex");
    client.send(Uint8Array.of(command.length, ...command));
  };
  const next = async () => {
    for (;;) {
      const frame = await client.next();
      if (frame !== "00") return frame;
      send("");
    }
  };
  // A name, and a version that is empty: Dart writes what it has set even then.
  send("0801 2208 220464617274 2a00");
  // The id of the client, a version, the seconds between pings, and that pongs are expected.
  expect(await next()).toMatch(/^[0-9a-f]{2}08012a[0-9a-f]{2}0a20[0-9a-f]{64}12[0-9a-f]+38014001$/);
  // The topic "them" without a token, not positioned, recoverable, with joins and leaves.
  send("0802 2a0e 0a047468656d 1200 4800 5001 5801");
  expect(await next()).toMatch(/^120802320e18013208[0-9a-f]{16}5001$/);
  send("0803 3a09 0a047468656d 120131");
  // Its own publication: the topic, the data 1, who has published it, the offset 1.
  expect(await next()).toMatch(
    /^[0-9a-f]{2}22[0-9a-f]{2}12047468656d22[0-9a-f]{2}2201312a221220[0-9a-f]{64}3001$/,
  );
  expect(await next()).toBe("0408034200");
  send("0804 3206 0a047468656d");
  expect(await next()).toBe("0408043a00");
  await client.close();
});
