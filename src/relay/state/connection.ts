// One open socket or stream, and the client at its other end. Kept small: a node has tens of thousands of them.
import type { PassedHeaders } from "../contracts/backend/questions";
import type { Claimed } from "../contracts/engine";
import type { Protocol } from "../contracts/protocol";
import type { ClientInfo } from "../contracts/publication";
import type { Authority, Hidden } from "../contracts/tokens";
import type { Socket } from "../contracts/transport";
import type { Topic } from "./fan-out/topic";
import type { Session } from "./session";
import type { Subscriptions } from "./subscriptions";

/** What else its opening says of a connection. */
interface ConnectionOrigin {
  readonly authority?: Authority | undefined;
  readonly headers?: PassedHeaders | undefined;
}

export class Connection {
  readonly id: string;
  /**
   * The id that others may know: whoever knows the id of a registration can connect with it. "" until the connection
   * is in a topic with presence.
   */
  publicId = "";
  /** The term of the claim of its registration; 0 for a session, which has none. */
  term: number;
  /** In milliseconds of the relay's clock. */
  openedAt = 0;
  /** "" in a session that has not said who it is. */
  user: string;
  readonly protocol: Protocol;
  /** What its client counts as among all addresses; "" where nothing depends on that. */
  readonly address: string;
  /** The topics that its registration names, or the backend when it was asked, in place of the defaults. */
  initialTopics: readonly string[] | undefined;
  /** What the backend is told of the request that opened it, where the backend is asked. */
  readonly headers: PassedHeaders | undefined;
  /** Undefined until the socket is open, and after the connection has ended. */
  socket: Socket | undefined = undefined;
  /** The topics that it is natively subscribed to. */
  topics: Topic[] = [];
  /** Where its protocol can resume: what it has of its topics, and topics that it is still subscribing to. */
  subscriptions: Subscriptions | undefined = undefined;
  session: Session | undefined = undefined;
  /** What decides in place of tokens and rules what its client may do. */
  readonly authority: Authority | undefined;
  /** When the next ping is due or, while `awaitingPong`, when the pong is overdue; in ms of the relay's clock. */
  heartbeatAt = 0;
  awaitingPong = false;
  /** Inbound frames in the current second. */
  frames = 0;
  /** What they had together. */
  receivedBytes = 0;
  /** What its requests made the relay send in the current second, to itself and on its behalf; see `chargeFor…` below. */
  answeredBytes = 0;

  constructor(
    { id, user, topics, term }: Omit<Claimed, "wasRemote">,
    protocol: Protocol,
    address = "",
    { authority, headers }: ConnectionOrigin = {},
  ) {
    this.authority = authority;
    this.headers = headers;
    this.id = id;
    this.address = address;
    this.user = user;
    this.protocol = protocol;
    this.initialTopics = topics;
    this.term = term;
  }
}

/** About what reading a publication of a history costs, expressed in bytes that are sent. */
const READ_BYTES = 512;

/** About what one more receiver of a publication or push costs, expressed in bytes that are sent. */
const RECEIVER_BYTES = 128;

/** Counts a frame of so many characters that the connection has asked for. */
export function chargeForFrame(connection: Connection, length: number): void {
  connection.answeredBytes += length;
}

/** Counts so many publications of histories that were read for the connection. */
export function chargeForReading(connection: Connection, publications: number): void {
  connection.answeredBytes += READ_BYTES * publications;
}

/** Counts what was sent to so many others because the connection published, joined or left. */
export function chargeForReceivers(connection: Connection, receivers: number): void {
  connection.answeredBytes += RECEIVER_BYTES * receivers;
}

/** What others in the topic are not told of this connection. */
export function hiddenIn({ session }: Connection, topic: string): Hidden | undefined {
  return session?.topics.get(topic)?.hidden;
}

/** Who is at this connection, as others in the topic see it. */
export function infoOf(connection: Connection, topic: string): ClientInfo {
  const { user, session } = connection;
  const inTopic = session?.topics.get(topic);
  return {
    client: connection.publicId,
    user: inTopic?.member ?? user,
    connectionInfo: session?.info,
    topicInfo: inTopic?.info,
  };
}
