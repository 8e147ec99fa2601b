// What is published, where it stands in its topic's history, and what an engine answers.

/** A place in a topic's history: after the publication with this offset; offset 0 is before the first. */
export interface Position {
  /** Names one life of the history. When it starts afresh it has another epoch, in which offsets mean something else. */
  readonly epoch: string;
  readonly offset: number;
}

/** Who is at a connection, as others may see it. */
export interface ClientInfo {
  readonly client: string;
  readonly user: string;
  /** JSON texts, from the tokens of the connection and of the subscription. */
  readonly connectionInfo?: string | undefined;
  readonly topicInfo?: string | undefined;
}

/** In a position that a client gives: the topic's current epoch, whichever that is. */
export const ANY_EPOCH = "";

/** The epoch of no topic. A client that gives a position without an epoch counts as having lost its position. */
export const NO_EPOCH = "-";

/** An accepted message on its way to the subscribers of a topic. Its texts have passed relay/text/checks.ts. */
export interface Publication {
  readonly topic: string;
  /** Text or, with `json`, JSON text; its bytes are those that were published. */
  readonly data: string;
  readonly json?: boolean;
  /** When it is set, only those subscribers get it that are connections of this user. */
  readonly user?: string | undefined;
  /** Who published it, when it was a client. */
  readonly info?: ClientInfo | undefined;
  /** JSON text of an object whose values are texts, for the receivers. */
  readonly tags?: string | undefined;
  /** What kind of message it is, for receivers whose protocol names its messages. */
  readonly event?: string | undefined;
  /** The id of a connection that does not get it live. */
  readonly except?: string | undefined;
  /** Names what its user's devices are to show if no connection takes it; see `Pushes`. */
  readonly push?: string | undefined;
  /** 1, 2, 3… in its topic. The engine sets it, and `epoch`, where the topic keeps history. */
  readonly offset?: number;
  readonly epoch?: string;
}

/** What devices are to show, and how urgent that is (RFC 8030, sections 5.2 to 5.4). */
export interface PushContent {
  readonly title: string;
  readonly body?: string | undefined;
  /** What opens when somebody taps on it. */
  readonly url?: string | undefined;
  /** How many seconds it is worth showing. */
  readonly ttl?: number | undefined;
  readonly urgency?: "very-low" | "low" | "normal" | "high" | undefined;
  /** It takes the place of one with the same topic that a device has not got yet. */
  readonly topic?: string | undefined;
}

/** The answer to a publisher. */
export interface Published {
  /** How many connections of this node it was sent to. */
  readonly delivered: number;
  /** Present where there may be other nodes, whose connections `delivered` does not count. */
  readonly scope?: "node";
  readonly offset?: number;
  readonly epoch?: string;
}
