// What a connection keeps that says who it is by a command and gets a reply to each.
import type { SessionCommand } from "../contracts/commands";

/** A topic of a session. */
export interface SessionTopic {
  /** JSON text that others see, from the token for the topic. */
  readonly info: string | undefined;
  /** When its token is over, in ms of the relay's clock. */
  expiresAt: number;
}

export interface Session {
  /** For commands that come by another way than the connection's own: as secret as a registration's id. */
  readonly secret: string;
  state: "opened" | "connected" | "refused";
  /** When the connection ends unless it does something about it: connect, or refresh its token. */
  deadline: number;
  /** JSON text that others see, from the token of the connection. */
  info: string | undefined;
  /** Its topics, and those that it is on its way into. */
  readonly topics: Map<string, SessionTopic>;
  /** A command is under way; those after it wait. */
  busy: boolean;
  queue: SessionCommand[];
  /** Characters of the frames that came meanwhile. */
  queued: number;
}

/** When something ends that lives so many seconds from now; undefined: never. */
export function endOf(seconds: number | undefined, now: number): number {
  return seconds === undefined ? Number.POSITIVE_INFINITY : now + seconds * 1000;
}
