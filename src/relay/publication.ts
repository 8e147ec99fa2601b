// What is published and what an engine answers.

/** One accepted message on its way to the subscribers of a topic. Its text has passed `relay/text.ts`. */
export interface Publication {
  readonly topic: string;
  readonly data: string;
  /** Set: only this user's connections that are subscribed to the topic get it. */
  readonly user?: string;
}

/** The answer to a publish. */
export interface Published {
  /** Connections of this node that it was sent to. */
  readonly delivered: number;
}
