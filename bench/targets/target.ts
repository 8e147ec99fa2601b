// What a target is to the bench: how it starts, how a connection opens, how a publication is sent.
// An adapter is data and small pure functions, because both the bench and the load processes use it.

/** How messages travel in the frames of a target. */
export interface Wire {
  /**
   * What a frame has before the message, where NUL stands for any byte, and how many bytes it has after it, at least and at
   * most.
   */
  readonly before: string;
  readonly after: readonly [min: number, max: number];
  /** What a frame has besides the message, in bytes, where offsets have five digits; 0 if not set. */
  readonly envelope?: number;
  /** What the client offers in the handshake; frames are binary then. The texts here are their bytes in Latin-1. */
  readonly subprotocol?: string;
  /** A frame may have several messages: each on a line of its own, or each behind its length in one byte, which belongs to its text. */
  readonly frames?: "lines" | "lengths";
  /** The connection is a stream of Server-Sent Events, not a WebSocket; the message follows each `before` in it. */
  readonly events?: boolean;
  /** The first text that the client sends, given the newest position that a reply contained; `read` recognizes the reply. */
  readonly greeting?: (position: string | undefined) => string;
  /** A connection is open once it is upgraded; otherwise once `read` says so. */
  readonly openWithUpgrade: boolean;
  /** What a frame without a message means. */
  readonly read?: (text: string) => {
    readonly opened?: boolean;
    readonly answer?: string;
    readonly position?: string;
  };
}

/** For targets that assign addresses: what to POST, and where the path is in the answer. */
export interface Registration {
  readonly path: string;
  readonly body: (user: number) => string;
  readonly addressIn: (answer: string) => string;
}

/** How a publication is sent over HTTP. */
interface PublishRoute {
  readonly path: string;
  /** Headers, each with its CRLF. */
  readonly headers: string;
  readonly body: (topic: string, message: string, user?: number) => string;
}

/** A program that must be on PATH for a target. */
export interface Program {
  readonly name: string;
  /** How to get it. */
  readonly install: string;
}

export const NODE: Program = { name: "node", install: "apt-get install nodejs" };

export interface Target {
  readonly name: string;
  readonly title: string;
  /** What it needs besides Bun. */
  readonly program?: Program;
  /** Whether it is left out where its program is missing, unless it is named; false if not set. */
  readonly isOptional?: boolean;
  /** The command that serves on 127.0.0.1:PORT, and the environment variables it gets in addition to PORT. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly wire: Wire;
  /** How it is published to, if not by PUBLISH_ROUTE. */
  readonly publishRoute?: PublishRoute;
  /** The answer to a publication counts the deliveries of only one of several processes, or none. */
  readonly countsPart?: boolean;
  /** The number of nodes, at the port and those after it, that share the connections; 1 if not set. The next port is free too. */
  readonly nodes?: number;
  /** The path to connect to; not used if there is a registration. */
  readonly path: (user: number | undefined) => string;
  readonly registration?: Registration;
}

/** Whether a connection says whose it is, which only publications to single users need. */
export type Identity = "anonymous" | "user";

/** Connections to one server: numbers from..to-1, CONNECTIONS_PER_USER for each user. */
export interface ConnectionRange {
  readonly target: string;
  readonly port: number;
  readonly from: number;
  readonly to: number;
  readonly identity: Identity;
}

/** Connections of one user in every scenario. */
export const CONNECTIONS_PER_USER = 2;

/** The user of connection number n. */
export function userOf(connection: number): number {
  return Math.floor(connection / CONNECTIONS_PER_USER) + 1;
}

/** What makes the kernel kill a command when the process that started it has died. */
export const DIE_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"];

/** The topic of every connection. */
export const TOPIC = "tech";

/** POST /publish, which all targets have whose API we could choose. */
export const PUBLISH_ROUTE: PublishRoute = {
  path: "/publish",
  headers: "",
  body: (topic, message, user) =>
    JSON.stringify({ topic, message, ...(user === undefined ? {} : { user_id: user }) }),
};

/** The wire of targets that send a message as the whole text frame. */
export const PLAIN: Wire = { before: "", after: [0, 0], openWithUpgrade: true };

/** The wire of targets whose connections are streams of Server-Sent Events with a message each. */
export const EVENTS: Wire = {
  before: "data: ",
  after: [0, 0],
  openWithUpgrade: true,
  events: true,
};

/** The Centrifuge protocol in JSON, but for what follows a message: a connection is open once its second command is answered. */
export const CENTRIFUGE: Omit<Wire, "after"> = {
  before: `{"push":{"channel":"${TOPIC}","pub":{"data":"`,
  frames: "lines",
  openWithUpgrade: false,
  greeting: () => `{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"${TOPIC}"}}`,
  read: (text) => {
    if (text === "{}") return { answer: "{}" };
    if (text.startsWith('{"id":1,"connect":{"client":')) return {};
    if (text.startsWith('{"id":2,"subscribe":{')) return { opened: true };
    throw new Error(`an unexpected text: ${text.slice(0, 100)}`);
  },
};
