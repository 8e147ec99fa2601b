// What a connection keeps that says who it is by a command and gets a reply to each.
import type { ClientInfo, SessionCommand } from "./command";
import type { Connection } from "./connection";

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

/** Who is at this connection, as those in the topic see it. */
export function infoOf(connection: Connection, topic: string): ClientInfo {
  const { user, session } = connection;
  return {
    client: connection.publicId,
    user,
    connectionInfo: session?.info,
    topicInfo: session?.topics.get(topic)?.info,
  };
}

/** When something ends that lives so many seconds from now; undefined: never. */
export function endOf(seconds: number | undefined, now: number): number {
  return seconds === undefined ? Number.POSITIVE_INFINITY : now + seconds * 1000;
}
