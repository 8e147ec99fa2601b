// Baton itself, from src/main.ts with its default settings.
// Only what the bench needs is set: the port, and a log level that leaves no line for each request.
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PLAIN, type Target, TOPIC } from "./target";

const addressIn = (field: string) => (answer: string) => {
  const path = new RegExp(`"${field}":"[a-z]+://[^/"]+(/[^"]+)"`).exec(answer)?.[1];
  if (path === undefined) throw new Error(`no address in ${answer.slice(0, 200)}`);
  return path;
};

export const baton: Target = {
  name: "baton",
  title: "Baton",
  about: "src/main.ts with its default settings, history on",
  command: ["bun", join(import.meta.dir, "../../src/main.ts")],
  env: { HOST: "127.0.0.1", BATON_LOG_LEVEL: "warn" },
  wire: PLAIN,
  path: () => {
    throw new Error("Baton gives the path of each connection");
  },
  registration: {
    path: "/register",
    body: (user) => JSON.stringify({ user_id: user }),
    addressIn: addressIn("url"),
  },
};

const topics = [TOPIC];

/** The same with envelopes and positions; a connection is open when its first command was answered. */
export const batonJson: Target = {
  ...baton,
  name: "baton-json",
  title: "Baton, ?format=json",
  about: "the same, publications in envelopes with their positions",
  wire: {
    before: `{"topic":"${TOPIC}","data":"`,
    after: [31, 48],
    openWithUpgrade: false,
    greeting: (position) =>
      position === undefined
        ? JSON.stringify({ topics })
        : `{"topics":${JSON.stringify(topics)},"since":{"${TOPIC}":${position}}}`,
    read: (text) => {
      const reply = /^\{"topics":\{"\w+":(\{.*\})\}\}$/.exec(text)?.[1];
      if (reply === undefined) throw new Error(`an unexpected text: ${text.slice(0, 100)}`);
      const { offset, epoch, recovered } = JSON.parse(reply);
      if (recovered === false) throw new Error("what was missed was not recovered");
      // Who comes back is told where the topic is; the others still begin where they were.
      if (recovered === true) return { opened: true };
      return { opened: true, position: JSON.stringify({ offset, epoch }) };
    },
  },
  registration: {
    path: "/register",
    body: (user) => JSON.stringify({ user_id: user, topics: [] }),
    addressIn: (answer) => `${addressIn("url")(answer)}?format=json`,
  },
};

/** The same over Server-Sent Events. */
export const batonSse: Target = {
  ...baton,
  name: "baton-sse",
  title: "Baton, Server-Sent Events",
  about: "the same, for EventSource",
  wire: { before: "\ndata: ", after: [0, 0], openWithUpgrade: true, events: true },
  registration: {
    path: "/register",
    body: (user) => JSON.stringify({ user_id: user }),
    addressIn: addressIn("sse"),
  },
};

/** The same for the Centrifuge SDKs; its topic keeps history and knows who is there. */
export const batonCentrifuge: Target = {
  name: "baton-centrifuge",
  title: "Baton, Centrifuge protocol",
  about: "the same, as the Centrifuge SDKs connect, presence on",
  command: baton.command,
  env: { ...baton.env, BATON_TOPICS_FILE: join(import.meta.dir, "presence.json") },
  wire: {
    before: `{"push":{"channel":"${TOPIC}","pub":{"data":"`,
    after: [15, 22],
    openWithUpgrade: false,
    greeting: () => `{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"${TOPIC}"}}`,
    read: (text) => {
      if (text === "{}") return { answer: "{}" };
      if (text.startsWith('{"id":1,"connect":{"client":')) return {};
      if (text.startsWith('{"id":2,"subscribe":{"recoverable":true')) return { opened: true };
      throw new Error(`an unexpected text: ${text.slice(0, 100)}`);
    },
  },
  path: () => "/connection/websocket",
};

/** The same over several processes, which share the port. */
function workers(count: number): Target {
  return {
    ...baton,
    name: `baton-${count}`,
    title: `Baton, ${count} workers`,
    about: `the same with BATON_WORKERS=${count}`,
    env: { ...baton.env, BATON_WORKERS: String(count) },
    countsPart: true,
  };
}

export const batonTwo = workers(2);
export const batonFour = workers(4);

/** The same with its history in a file. */
export const batonSqlite: Target = {
  ...baton,
  name: "baton-sqlite",
  title: "Baton, sqlite",
  about: "the same, every publication on the disk before it is answered",
  env: { ...baton.env, BATON_ENGINE: `sqlite:${join(tmpdir(), `baton-bench-${process.pid}.db`)}` },
};

/** Nodes joined by a Redis server, whose CPU time counts as theirs. */
function nodes(count: number): Target {
  const who = count === 1 ? "one node" : `${count} nodes`;
  return {
    ...baton,
    name: count === 1 ? "baton-redis" : "baton-nodes",
    title: `Baton, ${who} over Redis`,
    about: `${who} with BATON_ENGINE=redis://…, and redis-server 7 without persistence`,
    command: ["bun", join(import.meta.dir, "redis.server.ts"), String(count)],
    nodes: count,
    countsPart: true,
  };
}

export const batonRedis = nodes(1);
export const batonNodes = nodes(2);
