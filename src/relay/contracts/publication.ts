// What is published, where it stands in its topic's history, and what an engine answers.

/** A place in a topic's history: after `offset` publications of this life of it; offset 0 is before the first. */
export interface Position {
  /** One life of a topic's history; another epoch, and offsets mean something else. */
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

/** The epoch of a client that trusts its offset to be of the topic's present one. */
export const ANY_EPOCH = "";

/** Never that of a topic: for a client that says a position without one, and so counts as behind. */
export const NO_EPOCH = "-";

/** One accepted message on its way to the subscribers of a topic. Its text has passed `relay/text/checks.ts`. */
export interface Publication {
  readonly topic: string;
  /** Text as it was given or, when `json`, JSON text with its bytes unchanged. */
  readonly data: string;
  readonly json?: boolean;
  /** Set: only this user's connections that are subscribed to the topic get it. */
  readonly user?: string | undefined;
  /** The client that published it, when it was one. */
  readonly info?: ClientInfo | undefined;
  /** JSON text: an object of texts for the receivers. */
  readonly tags?: string | undefined;
  /** Id of a connection that does not get it live. */
  readonly except?: string | undefined;
  /** 1, 2, 3… in its topic; set, like `epoch`, by the engine where the topic keeps history. */
  readonly offset?: number;
  readonly epoch?: string;
}

/** The answer to a publish. */
export interface Published {
  /** Connections of this node that it was sent to. */
  readonly delivered: number;
  /** Set where there may be other nodes: `delivered` counts this one's connections alone. */
  readonly scope?: "node";
  readonly offset?: number;
  readonly epoch?: string;
}
