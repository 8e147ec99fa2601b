// What a target is to the bench: how it starts, how a connection opens, how a publication is sent.
// An adapter is data and small pure functions: both the bench and the load processes use it.

/** Connections to open on one server: numbers from..to-1, two for each user. */
export interface Crowd {
  readonly target: string;
  readonly port: number;
  readonly from: number;
  readonly to: number;
  /** Whether publications will go to single users, so that a connection must say whose it is. */
  readonly users: boolean;
}

/** How messages travel in the text frames of a target. */
export interface Wire {
  /** What stands in a frame before the message, and how many bytes after it at least and at most. */
  readonly before: string;
  readonly after: readonly [least: number, most: number];
  /** Server-Sent Events in place of a WebSocket: the message stands after `before` wherever that stands. */
  readonly events?: boolean;
  /** The first text to the server, which `read` then answers as opened; `position` is what a reply told before. */
  readonly greeting?: (position: string | undefined) => string;
  /** Whether a connection is open with its upgrade, or when `read` says so. */
  readonly openWithUpgrade: boolean;
  /** What a frame that carries no message means. */
  readonly read?: (text: string) => {
    readonly opened?: boolean;
    readonly answer?: string;
    readonly position?: string;
  };
}

export interface Target {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  /** The command that serves on 127.0.0.1:PORT, and its own environment variables beside PORT. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly wire: Wire;
  /** Whether an answer to a publication counts the deliveries of one of several processes alone. */
  readonly countsPart?: boolean;
  /** How many nodes it has, at its port and those after it, which share out the connections; 1 if not set. */
  readonly nodes?: number;
  /** Path to upgrade at; not used where there is a registration. */
  readonly path: (user: number | undefined) => string;
  /** For targets that give out addresses: what to POST, and the path in the answer. */
  readonly registration?: {
    readonly path: string;
    readonly body: (user: number) => string;
    readonly addressIn: (answer: string) => string;
  };
}

/** Connections of one user in every scenario. */
export const CONNECTIONS_PER_USER = 2;

/** The user of connection number n. */
export function userOf(connection: number): number {
  return Math.floor(connection / CONNECTIONS_PER_USER) + 1;
}

/** The topic of every connection. */
export const TOPIC = "tech";

/** The body of POST /publish, which all targets share. */
export function publishBody(topic: string, message: string, user: number | undefined): string {
  return JSON.stringify({ topic, message, ...(user === undefined ? {} : { user_id: user }) });
}

/** The wire of targets that send a message as the whole text frame. */
export const PLAIN: Wire = { before: "", after: [0, 0], openWithUpgrade: true };
