// Frames of clients, good and bad, sent as raw frames where a proper client cannot send them. Rows B1 to B12 of the fault
// catalogue.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Client } from "../../support/clients/client";
import { handshake, RawSocket } from "../../support/clients/raw-socket";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

let relay: TestRelay;
let bystander: Client;
beforeAll(async () => {
  relay = await startRelay({ BATON_CONNECTION_TOPICS_MAX: "5" });
  bystander = await relay.connect("bystander", ["bystander"]);
});
afterAll(async () => {
  expect(await relay.publish("bystander", "alive")).toBe(1);
  expect(await bystander.next()).toBe("alive");
  await relay[Symbol.asyncDispose]();
});

const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;

describe("a bad frame is answered with an error, and the socket stays open with its topics", () => {
  test.each([
    ["garbage", "hello", "malformed_json"],
    ["nothing", "", "malformed_json"],
    ["a number", "123", "invalid_frame"],
    ["another shape", { topic: "a" }, "invalid_frame"],
    ["an unknown field", { topics: ["a"], user_id: 2 }, "invalid_frame"],
    ["bytes", new Uint8Array([0, 255]), "invalid_frame"],
    ["a topic name of 10 KB", { topics: ["a".repeat(10_240)] }, "invalid_topic"],
    ["a control character in a name", { topics: ["a\u0007"] }, "invalid_topic"],
    ["a lone surrogate in a name", '{"topics":["\\ud800"]}', "invalid_topic"],
    ["an empty name", { topics: [""] }, "invalid_topic"],
    ["too many topics", { topics: ["1", "2", "3", "4", "5", "6"] }, "too_many_topics"],
  ])("%s", async (_, frame, code) => {
    const client = await relay.connect("bad", [`mine ${code}`]);
    client.send(frame);
    const { error } = JSON.parse(await client.next());
    expect(error.code).toBe(code);
    expect(error.message).toEndWith(".");
    expect(await relay.publish(`mine ${code}`, "still here", "bad")).toBe(1);
    expect(await client.next()).toBe("still here");
    await client.close();
    await gone("bad", `mine ${code}`);
  });

  test("a bad frame that is sent a thousand times gets a thousand errors", async () => {
    const client = await relay.connect("many", ["mine"]);
    for (let i = 0; i < 1_000; i++) client.send("garbage");
    await relay.publish("mine", "last");
    const frames = await client.take(1_001);
    expect(frames.filter((frame) => frame.includes("malformed_json"))).toHaveLength(1_000);
  });
});

describe("a frame over the size limit closes the socket with 1009", () => {
  test("if it has 10 MB in one piece", async () => {
    const client = await relay.connect();
    client.send("x".repeat(10_000_000));
    expect((await client.closed).code).toBe(1009);
  });

  test("if it names a million topics", async () => {
    const client = await relay.connect();
    client.send({ topics: Array.from({ length: 1_000_000 }, (_, i) => `t${i}`) });
    expect((await client.closed).code).toBe(1009);
  });

  test("if it is too large in fragments", async () => {
    const raw = await RawSocket.upgrade(await relay.register());
    raw.fragment(TEXT, "x".repeat(140_000));
    raw.frame(0, "x".repeat(140_000));
    expect(await closeCode(raw)).toBe(1009);
  });

  test("but not if it has exactly the limit", async () => {
    const client = await relay.connect();
    client.send("x".repeat(262_144));
    expect(JSON.parse(await client.next()).error.code).toBe("malformed_json");
  });
});

describe("what breaks the WebSocket protocol closes that socket only", () => {
  test.each<[string, number, (raw: RawSocket) => void]>([
    ["an unmasked frame", 1002, (raw) => raw.write(new Uint8Array([0x81, 1, 65]))],
    ["a reserved bit", 1002, (raw) => raw.write(new Uint8Array([0xc1, 0x80, 0, 0, 0, 0]))],
    ["a reserved opcode", 1002, (raw) => raw.frame(3, "x")],
    ["a ping of 126 bytes", 1002, (raw) => raw.frame(PING, "x".repeat(126))],
    ["a ping in fragments", 1002, (raw) => raw.fragment(PING, "x")],
    ["a continuation of nothing", 1002, (raw) => raw.frame(0, "x")],
    ["bad UTF-8", 1007, (raw) => raw.frame(TEXT, new Uint8Array([0xff]))],
    ["a close with one byte", 1002, (raw) => raw.frame(CLOSE, "x")],
    ["a close with code 1005", 1002, (raw) => raw.frame(CLOSE, new Uint8Array([0x03, 0xed]))],
  ])("%s", async (_, code, send) => {
    const raw = await RawSocket.upgrade(await relay.register("breaker"));
    send(raw);
    expect(await closeCode(raw)).toBe(code);
    await gone("breaker", "tech");
  });

  test("a close frame is echoed, and frames after it are ignored", async () => {
    const raw = await RawSocket.upgrade(await relay.register());
    raw.frame(CLOSE, new Uint8Array([0x03, 0xe8]));
    raw.frame(TEXT, '{"topics":["ghost"]}');
    expect(await closeCode(raw)).toBe(1000);
    expect(await relay.publish("ghost", "boo")).toBe(0);
  });
});

describe("good frames in unusual form", () => {
  test("a message in fragments with a ping between them is accepted", async () => {
    const raw = await RawSocket.upgrade(await relay.register());
    raw.fragment(TEXT, '{"topics":["frag');
    raw.frame(PING, "p");
    raw.frame(0, 'mented"]}');
    expect((await raw.nextFrame()).payload.toString()).toBe("p");
    raw.frame(PING, "q");
    await raw.nextFrame();
    expect(await relay.publish("fragmented", "whole")).toBe(1);
    raw.drop();
  });

  test("a frame that comes byte by byte is accepted", async () => {
    const raw = await RawSocket.upgrade(await relay.register());
    const text = '{"topics":["slow"]}';
    const frame = Buffer.concat([
      Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]),
      Buffer.from(text),
    ]);
    for (const byte of frame) {
      raw.write(new Uint8Array([byte]));
      // The next byte goes out in a packet of its own.
      await new Promise((resolve) => setImmediate(resolve));
    }
    raw.frame(PING, "done");
    expect((await raw.nextFrame()).payload.toString()).toBe("done");
    expect(await relay.publish("slow", "hi")).toBe(1);
    raw.drop();
  });

  test("a frame in the same packet as the handshake is accepted", async () => {
    const url = await relay.register();
    const raw = await RawSocket.open(relay.port);
    const text = '{"topics":["eager"]}';
    const frame = [0x81, 0x80 | text.length, 0, 0, 0, 0, ...Buffer.from(text)];
    raw.write(Buffer.concat([Buffer.from(handshake(new URL(url).pathname)), Buffer.from(frame)]));
    await raw.until("\r\n\r\n");
    raw.frame(PING, "q");
    expect((await raw.nextFrame()).payload.toString()).toBe("q");
    expect(await relay.publish("eager", "hi")).toBe(1);
    raw.drop();
  });
});

describe("the handshake", () => {
  const answer = async (head: (path: string) => string): Promise<string> => {
    const raw = await RawSocket.open(relay.port);
    raw.write(head(new URL(await relay.register()).pathname));
    const text = await raw.until("\r\n\r\n");
    raw.drop();
    return text;
  };

  test("may spell Upgrade in any case and have a list in Connection", async () => {
    const text = await answer((path) =>
      handshake(path)
        .replace("Upgrade: websocket", "Upgrade: WebSocket")
        .replace("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
    );
    expect(text).toStartWith("HTTP/1.1 101");
  });

  test.each([
    ["another version", "Version: 13", "Version: 8", 426],
    ["no version", "Sec-WebSocket-Version: 13\r\n", "", 426],
    ["no Connection: Upgrade", "Connection: Upgrade\r\n", "", 400],
    ["no key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400],
    ["a short key", "dGhlIHNhbXBsZSBub25jZQ==", "abc", 400],
    ["POST", "GET /ws", "POST /ws", 405],
    ["HEAD", "GET /ws", "HEAD /ws", 426],
    ["a format that is a property of every object", " HTTP", "?format=constructor HTTP", 422],
  ])("with %s is refused", async (_, from, to, status) => {
    expect(await answer((path) => handshake(path).replace(from, to))).toStartWith(
      `HTTP/1.1 ${status}`,
    );
  });

  test("is answered without a subprotocol or compression that the relay does not speak", async () => {
    const text = await answer((path) =>
      handshake(path, [
        "Sec-WebSocket-Protocol: chat, other",
        "Sec-WebSocket-Extensions: permessage-deflate",
      ]),
    );
    expect(text).toStartWith("HTTP/1.1 101");
    expect(text.toLowerCase()).not.toContain("sec-websocket-protocol");
    expect(text.toLowerCase()).not.toContain("sec-websocket-extensions");
  });
});

test("a client that sends a flood of pings or frames is closed with 4013, and others notice nothing", async () => {
  await using strict = await startRelay({ BATON_CONNECTION_FRAMES_MAX: "100" });
  const other = await strict.connect();
  for (const opcode of [PING, TEXT, BINARY]) {
    const raw = await RawSocket.upgrade(await strict.register());
    for (let i = 0; i < 1_000; i++) raw.frame(opcode, "");
    expect(await closeCode(raw)).toBe(4013);
  }
  expect(await strict.publish("tech", "hi")).toBe(1);
  expect(await other.next()).toBe("hi");
});

/** Resolves when no connection of the user is in this topic any more. */
function gone(user: string, topic: string): Promise<void> {
  const left = async () => (await relay.publish(topic, "anybody?", user)) === 0;
  return until("the connection to be gone", left);
}

async function closeCode(raw: RawSocket): Promise<number> {
  for (;;) {
    const { opcode, payload } = await raw.nextFrame();
    if (opcode === CLOSE) return payload.length < 2 ? 1005 : payload.readUInt16BE(0);
  }
}
