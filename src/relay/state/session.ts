// What a connection keeps whose client says who it is with a command and gets a reply to each command.
import type { SessionCommand } from "../contracts/commands";
import type { Hidden } from "../contracts/tokens";

/** A topic of a session. */
interface SessionTopic {
  /** JSON text that others can see, from the token for the topic. */
  info: string | undefined;
  /** Who the client is in the topic, where that is not its user. */
  member: string | undefined;
  /** What others are not told of it, from when it began on. */
  readonly hidden: Hidden | undefined;
  /** When its token expires, in ms of the relay's clock. */
  expiresAt: number;
  /** The token of the connection names it, so a newer token that does not takes it away. */
  isFromToken: boolean;
}

export interface Session {
  /** Identifies the session in commands that come over another connection: as secret as a registration's id. */
  readonly secret: string;
  state: "opened" | "connected" | "refused";
  /** When the connection ends unless its client connects or refreshes its token before; in ms of the relay's clock. */
  deadline: number;
  /** JSON text that others can see, from the token of the connection. */
  info: string | undefined;
  /** JSON text that only the backend is told, with questions. */
  meta: string | undefined;
  /** The topics that it has or is subscribing to. */
  readonly topics: Map<string, SessionTopic>;
  /** A command is being worked on; later ones wait in `queue`. */
  isBusy: boolean;
  queue: SessionCommand[];
  /** What waits does so until the client has read what it was sent. */
  awaitsReader: boolean;
  /** Publications in the current second. */
  published: number;
  /** The characters of the frames that wait. */
  queuedSize: number;
}

/** How long a client may take to send its connect command, and to go when that was refused. */
export const CONNECT_TIMEOUT_MS = 10_000;

/** When something expires that is valid for so many seconds from now; undefined means that it never does. */
export function expiryOf(seconds: number | undefined, now: number): number {
  return seconds === undefined ? Number.POSITIVE_INFINITY : now + seconds * 1000;
}
