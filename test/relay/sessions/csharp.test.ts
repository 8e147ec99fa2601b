// Conversations byte for byte as the sources of centrifuge-csharp (2026-06) write and read them: its package cannot be had
// where these tests run. It writes fields in the order of their numbers and leaves out zeros, sends `connect` in a frame of
// its own and then all commands of a millisecond in one, always offers numbers for channels (bit 1 of `flag`), and takes each
// message of a frame by itself.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { DeltaReader } from "../../support/centrifuge/delta-reader";
import { decodeReplies } from "../../support/centrifuge/protobuf";
import { inSeconds, token } from "../../support/centrifuge/sdk";
import { callApi, startRelayWithTokens } from "../../support/centrifuge/sdk-relay";
import { Client } from "../../support/clients/client";
import type { TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";

let relay: TestRelay;
beforeAll(async () => {
  const all = { allow_subscribe: ["client"], allow_publish: ["client"] };
  relay = await startRelayWithTokens({
    BATON_PING_MS: "100",
    BATON_PONG_MS: "10000",
    BATON_TOPICS_FILE: topicsFile({
      room: { ...all, join_leave: true },
      "board:": { ...all, delta: true },
    }),
  });
});
afterAll(() => relay[Symbol.asyncDispose]());

// biome-ignore lint/suspicious/noExplicitAny: tests look into messages of any shape
type Message = any;

const PING = "00";
const PONG = Uint8Array.of(0);

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}

/** A field with bytes: its tag, its length, the bytes. */
function bytes(field: number, content: readonly number[]): number[] {
  return [field * 8 + 2, ...varint(content.length), ...content];
}

function text(field: number, value: string): number[] {
  return value === "" ? [] : bytes(field, [...Buffer.from(value)]);
}

function number(field: number, value: number): number[] {
  return value === 0 ? [] : [field * 8, ...varint(value)];
}

/** A command behind its length; `field` is that of its method. */
function command(id: number, field: number, body: readonly number[]): number[] {
  const message = [...number(1, id), ...bytes(field, body)];
  return [...varint(message.length), ...message];
}

const NAME = text(4, "csharp");
const connect = (id: number, token: string, subs: readonly number[] = []) =>
  command(id, 4, [...text(1, token), ...subs, ...NAME]);

interface Wish {
  readonly token?: string;
  readonly since?: { readonly epoch: string; readonly offset: number };
  readonly delta?: string;
  /** 1 offers numbers for channels; 2 more wants an error where nothing can be recovered. */
  readonly flag?: number;
}

/** Recoverable, with joins and leaves. */
function subscribe(id: number, channel: string, { token = "", since, delta = "", flag = 1 }: Wish) {
  return command(id, 5, [
    ...text(1, channel),
    ...text(2, token),
    ...(since === undefined
      ? []
      : [...number(3, 1), ...text(6, since.epoch), ...number(7, since.offset)]),
    ...[...number(10, 1), ...number(11, 1)],
    ...text(12, delta),
    ...number(14, flag),
  ]);
}

/** A WebSocket of the SDK, which answers pings. */
class SdkSocket {
  readonly client: Client;

  private constructor(client: Client) {
    this.client = client;
  }

  static async open(): Promise<SdkSocket> {
    const url = `${relay.url.replace("http", "ws")}/connection/websocket`;
    const protocols = { protocols: ["centrifuge-protobuf"] };
    return new SdkSocket(await Client.open(url, protocols, (frame) => frame.toHex()));
  }

  /** Sends all of them in one frame. */
  send(...commands: readonly number[][]): void {
    this.client.send(Uint8Array.from(commands.flat()));
  }

  /** The next frame that is no ping, in hex. */
  async nextFrame(): Promise<string> {
    for (;;) {
      const frame = await this.client.next();
      if (frame !== PING) return frame;
      this.client.send(PONG);
    }
  }

  async next(): Promise<Message> {
    const messages = decodeReplies(Uint8Array.fromHex(await this.nextFrame()));
    expect(messages).toHaveLength(1);
    return messages[0];
  }
}

const publish = (channel: string, data: unknown) => callApi(relay, "publish", { channel, data });

test("centrifuge-csharp over a WebSocket: it connects, subscribes to several topics in one frame, publishes, and unsubscribes", async () => {
  const socket = await SdkSocket.open();
  socket.send(connect(1, await token({ sub: "ann", exp: inSeconds(3600), channels: ["given"] })));
  const connected = await socket.next();
  expect(connected).toMatchObject({
    id: 1,
    connect: { expires: true, ping: 1, pong: true, subs: { given: { recoverable: true } } },
  });
  const own = await token({ sub: "ann", channel: "$own", exp: inSeconds(3600) });
  socket.send(
    subscribe(2, "room", {}),
    subscribe(3, "$own", { token: own }),
    subscribe(4, "closed", {}),
  );
  expect(await socket.next()).toMatchObject({ id: 2, subscribe: { recoverable: true } });
  expect((await socket.next()).push.join.info.user).toBe("ann");
  // The reply has no number for the channel, so the SDK goes by names.
  const withToken = await socket.next();
  expect(withToken).toMatchObject({ id: 3, subscribe: { expires: true } });
  expect(withToken.subscribe.id).toBeUndefined();
  expect(await socket.next()).toMatchObject({ id: 4, error: { code: 103 } });

  socket.send(command(5, 7, [...text(1, "room"), ...text(2, "[1]")]));
  expect((await socket.next()).push).toMatchObject({
    channel: "room",
    pub: { data: [1], offset: 1 },
  });
  expect(await socket.nextFrame()).toBe("0408054200");
  socket.send(command(6, 14, text(1, await token({ sub: "ann", exp: inSeconds(7200) }))));
  expect(await socket.next()).toMatchObject({
    push: { channel: "given", unsubscribe: { code: 2000 } },
  });
  expect(await socket.next()).toMatchObject({
    id: 6,
    refresh: { client: connected.connect.client, expires: true },
  });
  const later = await token({ sub: "ann", channel: "$own" });
  socket.send(command(7, 15, [...text(1, "$own"), ...text(2, later)]));
  expect(await socket.nextFrame()).toBe("0408077a00");
  socket.send(command(8, 6, text(1, "room")));
  expect(await socket.nextFrame()).toBe("0408083a00");
  await callApi(relay, "disconnect", { user: "ann" });
  expect((await socket.client.closed).code).toBe(3503);
});

test("centrifuge-csharp after a lost connection: it recovers topics of its own and of its token, or is refused with 112", async () => {
  const given = await token({ sub: "ben", channels: ["given-2"] });
  const first = await SdkSocket.open();
  first.send(connect(1, given));
  const { epoch } = (await first.next()).connect.subs["given-2"];
  first.send(subscribe(2, "board:lost", {}));
  const board = (await first.next()).subscribe;
  first.client.drop();
  for (const topic of ["given-2", "board:lost"]) for (const n of [1, 2]) await publish(topic, n);

  const second = await SdkSocket.open();
  const wish = [...text(1, "given-2"), ...number(3, 1), ...text(6, epoch)];
  second.send(connect(3, given, bytes(3, [...text(1, "given-2"), ...bytes(2, wish)])));
  const { subs } = (await second.next()).connect;
  expect(subs["given-2"]).toMatchObject({
    recovered: true,
    publications: [
      { data: 1, offset: 1 },
      { data: 2, offset: 2 },
    ],
  });
  const since = { epoch: board.epoch, offset: 1 };
  second.send(subscribe(4, "board:lost", { since }));
  expect(await second.next()).toMatchObject({
    id: 4,
    subscribe: { recovered: true, was_recovering: true, publications: [{ data: 2, offset: 2 }] },
  });
  // With a function that gets the state of a topic, it wants an error instead of an incomplete recovery.
  second.send(command(5, 6, text(1, "board:lost")));
  await second.next();
  second.send(subscribe(6, "board:lost", { since: { epoch: "another", offset: 1 }, flag: 3 }));
  expect(await second.next()).toMatchObject({ id: 6, error: { code: 112 } });
  await second.client.close();
});

test("centrifuge-csharp with deltas: after one whole publication it gets patches, which it takes by their place and not by their mark", async () => {
  const socket = await SdkSocket.open();
  socket.send(connect(1, await token({ sub: "eva" })));
  await socket.next();
  socket.send(subscribe(2, "board:delta", { delta: "fossil" }));
  expect((await socket.next()).subscribe.delta).toBe(true);
  const reader = new DeltaReader("protobuf");
  const document = Array.from({ length: 100 }, (_, i) => `Größe ${i} 😀`);
  for (let version = 0; version < 5; version++) {
    document[version * 7] = `version ${version}`;
    await publish("board:delta", document);
    const { pub } = (await socket.next()).push;
    expect(pub.delta === true).toBe(version > 0);
    expect(reader.read(pub)).toEqual(document);
  }
  await socket.client.close();
});

/** Reads messages behind their lengths from a response, whatever pieces it comes in. */
class MessageReader {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #rest = new Uint8Array();

  constructor(response: Response) {
    this.#pieces = (response.body as ReadableStream<Uint8Array>)[Symbol.asyncIterator]();
  }

  /** The next message; `{}` is a ping, undefined the end. */
  async next(): Promise<Message | undefined> {
    for (;;) {
      const end = this.#endOfFirst();
      if (end !== undefined && this.#rest.length >= end) {
        const message = this.#rest.slice(0, end);
        this.#rest = this.#rest.slice(end);
        return decodeReplies(message)[0];
      }
      const { value, done } = await this.#pieces.next();
      if (done) return undefined;
      this.#rest = Uint8Array.from([...this.#rest, ...value]);
    }
  }

  /** Where the first message ends, if its length is there. */
  #endOfFirst(): number | undefined {
    let length = 0;
    for (const [i, byte] of this.#rest.entries()) {
      length += (byte & 0x7f) * 128 ** i;
      if (byte < 128) return i + 1 + length;
    }
    return undefined;
  }
}

const BINARY = { "content-type": "application/octet-stream" };

async function openStream(sent: readonly number[]): Promise<MessageReader> {
  const response = await fetch(`${relay.url}/connection/http_stream`, {
    method: "POST",
    headers: { ...BINARY, accept: "application/octet-stream" },
    body: Uint8Array.from(sent),
  });
  expect(response.status).toBe(200);
  return new MessageReader(response);
}

test("centrifuge-csharp over http_stream: it sends commands and pongs to /emulation, and is told why the stream ends", async () => {
  const stream = await openStream(connect(1, await token({ sub: "fay" })));
  const { session, node } = (await stream.next()).connect;
  /** The body has no length in front, its commands have one each. */
  const emulate = async (...commands: readonly number[][]) => {
    const body = [...text(1, node), ...text(2, session), ...bytes(3, commands.flat())];
    const options = { method: "POST", headers: BINARY, body: Uint8Array.from(body) };
    expect((await fetch(`${relay.url}/emulation`, options)).status).toBe(204);
  };
  const next = async () => {
    for (;;) {
      const message = await stream.next();
      if (message === undefined || Object.keys(message).length > 0) return message;
      await emulate([0]);
    }
  };
  await emulate(subscribe(2, "board:stream", {}), subscribe(3, "closed", {}));
  expect(await next()).toMatchObject({ id: 2, subscribe: { recoverable: true } });
  expect(await next()).toMatchObject({ id: 3, error: { code: 103 } });
  const sent = { n: 1, text: "Größe 😀".repeat(2_000) };
  await publish("board:stream", sent);
  expect((await next()).push).toMatchObject({ channel: "board:stream", pub: { data: sent } });
  await callApi(relay, "disconnect", { user: "fay" });
  expect((await next()).push.disconnect.code).toBe(3503);
  expect(await next()).toBeUndefined();
});

test("centrifuge-csharp over http_stream with a false token is told so in the stream, and stays away", async () => {
  const stream = await openStream(connect(1, "false"));
  expect((await stream.next()).push.disconnect.code).toBe(3500);
  expect(await stream.next()).toBeUndefined();
});
