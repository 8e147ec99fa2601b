// A load process of the scale run: thousands of clients with envelopes over bare TCP, which come back by themselves
// and check that each publication arrives once and in order.
import { setPriority } from "node:os";
import type { Socket, SocketHandler } from "bun";
import { CLOSE, clientFrame, PING, PONG, readFrames, TEXT } from "../load/frames";
import { register } from "../load/registration";
import { baton } from "../targets/baton";
import { TOPIC } from "../targets/target";
import type { Crowd, Order, State } from "./orders";

const STATE_MS = 200;
const FAULTS_MAX = 5;
/** Registrations between two reports. */
const CHUNK = 500;
/** A client that was cut off comes back after a random part of this. */
const BACK_MS = 1_000;
/** A client that gets no answer for so long tries again. */
const PATIENCE_MS = 120_000;

const UPGRADE =
  "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
  "Sec-WebSocket-Version: 13\r\n\r\n";

interface Link {
  readonly path: string;
  state: "upgrading" | "greeting" | "open" | "closed";
  rest: Uint8Array | undefined;
  /** The one that counts: an older one may still be closing. */
  socket: Socket<Link> | undefined;
  /** When it began to connect, in ms. */
  since: number;
  /** The last publication that it has; -1 before it was told where the topic is. */
  offset: number;
  /** When it was lost last, in ms; 0 if it never was. */
  lostAt: number;
  /** It was lost and came back. */
  isBack: boolean;
  /** Ends the wait for this connection to open. */
  settle: () => void;
}

let crowd: Crowd = { hosts: ["127.0.0.1"], port: 0, first: 0, count: 0, atOnce: 1 };
const links: Link[] = [];
let epoch = "";
let registered = 0;
let open = 0;
let received = 0;
let back = 0;
let faults: string[] = [];
/** Attempts to connect that came to nothing. */
let again = 0;
/** The longest that one was away, in ms. */
let awayMs = 0;

/** Links that are to connect, the first one first, and how many do. */
const waiting: Link[] = [];
let connecting = 0;
let turn = 0;
let reading: Socket<Link> | undefined;

function fault(what: string): void {
  if (faults.length < FAULTS_MAX) faults.push(what);
}

function pump(): void {
  while (connecting < crowd.atOnce && waiting.length > 0) {
    connecting++;
    const link = waiting.shift() as Link;
    link.state = "upgrading";
    link.rest = undefined;
    link.since = performance.now();
    link.settle = () => {
      link.settle = () => {};
      connecting--;
      pump();
    };
    const { hosts, port } = crowd;
    const hostname = hosts[turn++ % hosts.length] as string;
    const began = link.since;
    Bun.connect<Link>({ hostname, port, data: link, socket: handlers }).then(
      (socket) => {
        if (link.since !== began || link.state !== "upgrading") return socket.terminate();
        link.socket = socket;
        socket.write(`GET ${link.path} HTTP/1.1\r\nHost: ${hostname}\r\n${UPGRADE}`);
      },
      () => {
        if (link.since === began) lost(link);
      },
    );
  }
}

/** It comes back a moment later. */
function lost(link: Link): void {
  if (link.state === "closed") return;
  const wasOpen = link.state === "open";
  if (wasOpen) {
    open--;
    link.lostAt = performance.now();
  } else again++;
  link.state = "closed";
  link.socket = undefined;
  link.settle();
  setTimeout(() => {
    // Who was in vain at the door goes before those who come back after it.
    if (wasOpen) waiting.push(link);
    else waiting.unshift(link);
    pump();
  }, Math.random() * BACK_MS);
}

const handlers: SocketHandler<Link> = {
  data(socket, piece) {
    const link = socket.data;
    if (link.socket !== socket) return;
    const bytes = link.rest === undefined ? piece : Buffer.concat([link.rest, piece]);
    link.rest = undefined;
    reading = socket;
    try {
      const at = link.state === "upgrading" ? upgrade(link, bytes) : 0;
      const end = link.state === "upgrading" ? at : readFrames(bytes, at, take);
      if (end < bytes.length) link.rest = bytes.slice(end);
    } catch (error) {
      socket.terminate();
      if (error instanceof Error) fault(error.message);
      lost(link);
    }
  },
  close: (socket) => gone(socket),
  error: (socket) => gone(socket),
};

function gone(socket: Socket<Link>): void {
  if (socket.data.socket === socket) lost(socket.data);
}

function upgrade(link: Link, bytes: Uint8Array): number {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return 0;
  if (!text.startsWith("HTTP/1.1 101 ")) {
    // Full or shutting down: another worker may take it the next time.
    if (!text.startsWith("HTTP/1.1 503 ")) fault(text.slice(0, text.indexOf("\r\n")));
    reading?.terminate();
    lost(link);
    return bytes.length;
  }
  link.state = "greeting";
  const since =
    link.offset < 0 ? "" : `,"since":{"${TOPIC}":{"offset":${link.offset},"epoch":"${epoch}"}}`;
  reading?.write(clientFrame(TEXT, Buffer.from(`{"topics":["${TOPIC}"]${since}}`)));
  return end + 4;
}

const take = (opcode: number, bytes: Uint8Array, start: number, end: number): void => {
  const socket = reading as Socket<Link>;
  const link = socket.data;
  if (opcode === PING) socket.write(clientFrame(PONG, bytes.subarray(start, end)));
  else if (opcode === CLOSE) {
    socket.end();
    lost(link);
  } else if (opcode === TEXT) {
    const frame = JSON.parse(Buffer.from(bytes.subarray(start, end)).toString());
    if (frame.error?.code === "engine_unavailable") {
      socket.terminate();
      lost(link);
    } else if (frame.topics !== undefined) entered(link, frame.topics[TOPIC]);
    else if (frame.offset === link.offset + 1) {
      link.offset++;
      received++;
    } else fault(`got ${frame.offset ?? JSON.stringify(frame)} after ${link.offset}`);
  }
};

function entered(link: Link, reply: { offset: number; epoch: string; recovered?: boolean }): void {
  if (link.offset < 0) link.offset = reply.offset;
  else {
    if (!link.isBack) back++;
    link.isBack = true;
    const away = performance.now() - link.lostAt;
    awayMs = Math.max(awayMs, away);
    if (reply.recovered !== true) fault(`not recovered after ${Math.round(away / 1000)} s`);
  }
  epoch = reply.epoch;
  link.state = "open";
  open++;
  link.settle();
}

async function obey(order: Order): Promise<void> {
  if (order.kind === "register") {
    crowd = order.crowd;
    const registration = baton.registration as NonNullable<typeof baton.registration>;
    for (let from = 0; from < crowd.count; from += CHUNK) {
      const length = Math.min(CHUNK, crowd.count - from);
      const users = Array.from({ length }, (_, i) => crowd.first + from + i);
      for (const path of await register(registration, crowd.port, users)) {
        const settle = () => {};
        links.push({
          ...{ path: `${path}?format=json`, state: "closed", rest: undefined, socket: undefined },
          ...{ since: 0, offset: -1, lostAt: 0, isBack: false, settle },
        });
      }
      registered = links.length;
    }
    return;
  }
  waiting.push(...links);
  pump();
}

process.on("message", (order: Order) => {
  obey(order).catch((error: Error) => fault(error.message));
});
setInterval(() => {
  process.send?.({ registered, open, received, back, again, awayMs, faults } satisfies State);
  faults = [];
}, STATE_MS);
setInterval(() => {
  const late = performance.now() - PATIENCE_MS;
  for (const link of links) {
    if ((link.state !== "upgrading" && link.state !== "greeting") || link.since > late) continue;
    link.socket?.terminate();
    lost(link);
  }
}, PATIENCE_MS / 4);
// As the relay's workers, which would starve beside as many processes that go before them.
setPriority(15);
process.on("disconnect", () => process.exit(0));
process.on("SIGINT", () => {});
