// For each transport: a client that reads everything, a peer that can stop reading, and a client that resumes where that
// one stopped.
import type { Position } from "../../../src/relay/contracts/publication";
import { until } from "../wait";
import { RawSocket } from "./raw-socket";
import type { ResumingClient, ResumingOptions } from "./resuming-client";
import { ResumingSocket } from "./resuming-socket";
import { ResumingStream } from "./resuming-stream";

/** The topic of all of them. */
const TOPICS = ["a"];
const TOPICS_COMMAND = '{"topics":["a"]}';
const [TEXT, PING, PONG] = [1, 9, 10];

type OnPublication = NonNullable<ResumingOptions["onPublication"]>;

/** Publications are texts that begin with their number. */
export interface LoadClients {
  /** Connects a client that reads everything and resolves when it is subscribed. */
  healthy(
    register: ResumingOptions["register"],
    onPublication: OnPublication,
  ): Promise<{ stop(): unknown }>;
  /** Connects a peer that can stop reading and resolves when it is subscribed. */
  stallable(url: string): Promise<RawSocket>;
  /** Resolves with the numbers of the whole publications that the peer has read, when its connection has ended. */
  numbersReadBy(raw: RawSocket): Promise<number[]>;
  /** A client that resumes from this position; a plain socket cannot. */
  resume?(options: ResumingOptions, position: Position): ResumingClient;
}

const plainSockets: LoadClients = {
  async healthy(register, onPublication) {
    const socket = new WebSocket(await register());
    socket.onmessage = ({ data }) => onPublication("a", data, { epoch: "", offset: 0 });
    await new Promise((resolve) => {
      socket.onopen = resolve;
    });
    socket.send(TOPICS_COMMAND);
    await new Promise((resolve) => {
      socket.addEventListener("pong", resolve);
      socket.ping();
    });
    return { stop: () => socket.terminate() };
  },
  async stallable(url) {
    const raw = await RawSocket.upgrade(url);
    raw.frame(TEXT, TOPICS_COMMAND);
    raw.frame(PING, "");
    const { opcode } = await raw.nextFrame();
    if (opcode !== PONG) throw new Error(`a frame ${opcode} in place of the pong`);
    return raw;
  },
  async numbersReadBy(raw) {
    return (await textsOf(raw)).map((text) => Number.parseInt(text, 10));
  },
};

const jsonSockets: LoadClients = {
  async healthy(register, onPublication) {
    const client = new ResumingSocket({ topics: TOPICS, register, onPublication });
    await until("the client to be subscribed", () => client.ready);
    return client;
  },
  async stallable(url) {
    const raw = await RawSocket.upgrade(`${url}?format=json`);
    raw.frame(TEXT, TOPICS_COMMAND);
    await raw.until('"epoch":');
    return raw;
  },
  async numbersReadBy(raw) {
    await raw.until("}}}");
    return (await textsOf(raw)).map((text) => Number.parseInt(JSON.parse(text).data, 10));
  },
  resume(options, position) {
    const client = new ResumingSocket(options);
    client.positions.a = position;
    return client;
  },
};

const streams: LoadClients = {
  async healthy(register, onPublication) {
    const client = new ResumingStream({ topics: TOPICS, register, onPublication });
    await until("the client to be subscribed", () => client.ready);
    return client;
  },
  async stallable(url) {
    const { port, pathname } = new URL(url);
    const raw = await RawSocket.open(Number(port));
    const path = `${pathname.replace("/ws/", "/sse/")}?topics=a`;
    raw.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n`);
    await raw.until("id: a=");
    return raw;
  },
  async numbersReadBy(raw) {
    await raw.closed;
    // An empty line ends a whole event.
    const events = raw.received.matchAll(/^data: (\d+) x+\n(?:id: .*\n)?\n/gm);
    return [...events].map(([, number]) => Number(number));
  },
  resume(options, { epoch, offset }) {
    const client = new ResumingStream(options);
    client.lastEventId = `a=${epoch}:${offset}`;
    return client;
  },
};

export const LOAD_CLIENTS: Readonly<Record<string, LoadClients>> = {
  "plain sockets": plainSockets,
  "json sockets": jsonSockets,
  streams,
};

/** The text frames up to the end of the connection. */
async function textsOf(raw: RawSocket): Promise<string[]> {
  const texts: string[] = [];
  for (;;) {
    const frame = await raw.nextFrame().catch(() => undefined);
    if (frame === undefined) return texts;
    if (frame.opcode === TEXT) texts.push(frame.payload.toString());
  }
}
