// Baton itself, started from src/main.ts with its default settings, in which history is on.
// The bench sets only what it needs: the port, and a log level that writes no line for each request.
import { join } from "node:path";
import { CENTRIFUGE, EVENTS, PLAIN, type Target, TOPIC } from "./target";

const addressIn = (field: string) => (answer: string) => {
  const path = new RegExp(`"${field}":"[a-z]+://[^/"]+(/[^"]+)"`).exec(answer)?.[1];
  if (path === undefined) throw new Error(`no address in ${answer.slice(0, 200)}`);
  return path;
};

const registration = {
  path: "/register",
  body: (user: number) => JSON.stringify({ user_id: user }),
  addressIn: addressIn("url"),
};

export const baton: Target = {
  name: "baton",
  title: "Baton",
  command: ["bun", join(import.meta.dir, "../../src/main.ts")],
  env: { HOST: "127.0.0.1", BATON_LOG_LEVEL: "warn" },
  wire: PLAIN,
  path: () => {
    throw new Error("Baton assigns the path of each connection when it registers");
  },
  registration,
};

const topics = [TOPIC];

/** Publications in envelopes with their positions. A connection is open once its first command is answered. */
export const batonJson: Target = {
  ...baton,
  name: "baton-json",
  title: "Baton, ?format=json",
  wire: {
    before: `{"topic":"${TOPIC}","data":"`,
    after: [31, 48],
    envelope: 60,
    openWithUpgrade: false,
    greeting: (position) =>
      position === undefined
        ? JSON.stringify({ topics })
        : `{"topics":${JSON.stringify(topics)},"since":{"${TOPIC}":${position}}}`,
    read: (text) => {
      const reply = /^\{"topics":\{"\w+":(\{.*\})\}\}$/.exec(text)?.[1];
      if (reply === undefined) throw new Error(`an unexpected text: ${text.slice(0, 100)}`);
      const { offset, epoch, recovered } = JSON.parse(reply);
      if (recovered === false)
        throw new Error("the publications that were missed are not recovered");
      // A client that recovers gets the topic's newest position; the clients after it must still start at the old one.
      if (recovered === true) return { opened: true };
      return { opened: true, position: JSON.stringify({ offset, epoch }) };
    },
  },
  registration: {
    ...registration,
    body: (user) => JSON.stringify({ user_id: user, topics: [] }),
    addressIn: (answer) => `${addressIn("url")(answer)}?format=json`,
  },
};

/** Server-Sent Events, for EventSource. */
export const batonSse: Target = {
  ...baton,
  name: "baton-sse",
  title: "Baton, Server-Sent Events",
  wire: EVENTS,
  registration: { ...registration, addressIn: addressIn("sse") },
};

/** The protocol of the Centrifuge SDKs; the topic keeps history and has presence. */
export const batonCentrifuge: Target = {
  name: "baton-centrifuge",
  title: "Baton, Centrifuge protocol",
  command: baton.command,
  env: { ...baton.env, BATON_TOPICS_FILE: join(import.meta.dir, "servers/presence.json") },
  wire: { ...CENTRIFUGE, after: [15, 22], envelope: 60 },
  path: () => "/connection/websocket",
};

/** The same in protobuf, whose SDKs offer a subprotocol. NUL is a length before the message, or a ping. */
export const batonProtobuf: Target = {
  ...batonCentrifuge,
  name: "baton-protobuf",
  title: "Baton, Centrifuge in protobuf",
  wire: {
    subprotocol: "centrifuge-protobuf",
    frames: "lengths",
    before: `\0\x22\0\x12\x04${TOPIC}\x22\0\x22\x42"`,
    after: [3, 10],
    openWithUpgrade: false,
    greeting: () => `\x04\x08\x01\x22\0\x0a\x08\x02\x2a\x06\x0a\x04${TOPIC}`,
    read: (text) => {
      if (text === "\0") return { answer: "\0" };
      if (text.startsWith("\x08\x01\x2a", 1)) return {};
      if (text.startsWith("\x08\x02\x32", 1)) return { opened: true };
      throw new Error(`an unexpected reply: ${JSON.stringify(text.slice(0, 100))}`);
    },
  },
};

/** The Pusher protocol, in a public channel. */
export const batonPusher: Target = {
  name: "baton-pusher",
  title: "Baton, Pusher protocol",
  command: baton.command,
  env: { ...baton.env, BATON_PUSHER_APPS: "1:app-key:a-secret-that-nobody-in-the-bench-uses" },
  wire: {
    before: `{"event":"message","channel":"${TOPIC}","data":"`,
    after: [2, 2],
    envelope: 46,
    openWithUpgrade: false,
    read: (text) => {
      if (text.startsWith('{"event":"pusher:connection_established"')) {
        return { answer: `{"event":"pusher:subscribe","data":{"channel":"${TOPIC}"}}` };
      }
      if (text.startsWith('{"event":"pusher_internal:subscription_succeeded"')) {
        return { opened: true };
      }
      throw new Error(`an unexpected text: ${text.slice(0, 100)}`);
    },
  },
  path: () => "/app/app-key?protocol=7&client=js&version=8.6.0",
};

/** Several worker processes that share the port. */
function withWorkers(count: number): Target {
  return {
    ...baton,
    name: `baton-${count}`,
    title: `Baton, ${count} workers`,
    env: { ...baton.env, BATON_WORKERS: String(count) },
    countsPart: true,
  };
}

export const batonTwoWorkers = withWorkers(2);
export const batonFourWorkers = withWorkers(4);

/** The SQLite engine: every publication is on the disk before it is answered. The file is in the folder of the server. */
export const batonSqlite: Target = {
  ...baton,
  name: "baton-sqlite",
  title: "Baton, sqlite",
  env: { ...baton.env, BATON_ENGINE: "sqlite:baton.db" },
};

/** Nodes joined by a redis-server 7 without persistence; its CPU time counts as theirs. */
function overRedis(count: number): Target {
  return {
    ...baton,
    name: count === 1 ? "baton-redis" : "baton-nodes",
    title: `Baton, ${count === 1 ? "one node" : `${count} nodes`} over Redis`,
    program: { name: "redis-server", install: "apt-get install redis-server" },
    command: ["bun", join(import.meta.dir, "servers/baton-over-redis.ts"), String(count)],
    nodes: count,
    countsPart: true,
  };
}

export const batonRedis = overRedis(1);
export const batonTwoNodes = overRedis(2);
