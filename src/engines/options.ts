// What every engine is made with.
import type { TopicRules } from "../relay/contracts/topic-rules";

export interface EngineOptions {
  readonly rules: TopicRules;
  /** What the histories of all topics may take, in the memory of this process or in its file. */
  readonly historyBytes: number;
  /** What records and queues may take together there. */
  readonly storeBytes: number;
  /** How long an idempotency key is remembered, and how many are at once. */
  readonly idempotencyMs: number;
  readonly idempotencyMax: number;
  /** How long a registration waits for its client, how many may wait, and how many connections a user may have. */
  readonly registrationTtlMs: number;
  readonly registrationsMax: number;
  readonly userConnectionsMax: number;
  /** How many connections all nodes of this machine may have together. */
  readonly connectionsMax: number;
  /** How many connections one address may have, where one engine serves all nodes; 0: any number. */
  readonly addressConnectionsMax: number;
  /** The name of the node, which no other node has. */
  readonly node: string;
  /** The name of the machine, when several nodes share its limit of connections and no supervisor counts for them. */
  readonly machine?: string | undefined;
  /** Begins all names in a store that other programs use too. */
  readonly prefix: string;
  /** Reports something that an operator should know, in a sentence without passwords. */
  readonly warn: (sentence: string) => void;
  /** Monotonic time in ms. */
  readonly now: () => number;
  /** Makes 8 random letters, never the same twice. */
  readonly newEpoch: () => string;
}
