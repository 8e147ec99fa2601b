// One open socket or stream of a registered client. Kept small: a node holds tens of thousands of them.
import type { Claimed } from "../contracts/engine";
import type { Protocol } from "../contracts/protocol";
import type { ClientInfo } from "../contracts/publication";
import type { Session } from "./session";
import type { Progress } from "./subscription";
import type { Topic } from "./topic";

/** The part of a socket that the relay uses; Bun's ServerWebSocket fits as it is. */
export interface Socket {
  /** Sends or queues one frame. 0 means: over the backpressure limit, the socket will close. */
  send(frame: string): number;
  /** Bytes that wait in this process for the peer to read. */
  getBufferedAmount(): number;
  /** Joins native fan-out; see `Outlet.publish`. */
  subscribe(native: string): unknown;
  unsubscribe(native: string): unknown;
  ping(): unknown;
  /** Sends what is queued, then a close frame. The close handler may run inside this call. */
  close(code: number, reason: string): void;
}

/** Native fan-out: sends `frame` to every socket subscribed to `native`, at no cost in JavaScript for each. */
export interface Transport {
  /** All but `except`, when it is given. */
  publish(native: string, frame: string, except?: Socket): unknown;
}

export class Connection {
  readonly id: string;
  /** What others may know of it: the id of a registration opens it. "" until it is in a topic that is watched. */
  publicId = "";
  /** Of the claim of its registration; 0 for a session. */
  term: number;
  /** In ms of the relay's clock. */
  openedAt = 0;
  /** Whose it is; of a session, as soon as it has said so. */
  user: string;
  readonly protocol: Protocol;
  /** Topics to begin with, in place of the defaults. */
  readonly initial: readonly string[] | undefined;
  /** Undefined until the socket is open and after the connection has ended. */
  socket: Socket | undefined = undefined;
  /** Those that it is subscribed to. */
  topics: Topic[] = [];
  progress: Progress | undefined = undefined;
  session: Session | undefined = undefined;
  /** When the next ping is due or, while `awaitingPong`, when the pong is overdue; ms of the relay's clock. */
  heartbeatAt = 0;
  awaitingPong = false;
  /** Inbound frames in the current second. */
  frames = 0;

  constructor({ id, user, topics, term }: Omit<Claimed, "wasRemote">, protocol: Protocol) {
    this.id = id;
    this.user = user;
    this.protocol = protocol;
    this.initial = topics;
    this.term = term;
  }
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
