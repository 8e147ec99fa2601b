// What every engine is made with.
import type { TopicRules } from "../relay/contracts/topic-rules";

export interface EngineOptions {
  readonly rules: TopicRules;
  /** Bound of the histories that this process keeps, in memory or in its file. */
  readonly historyBytes: number;
  /** How long an idempotency key is remembered, and how many at once. */
  readonly idempotencyMs: number;
  readonly idempotencyMax: number;
  /** How long a registration waits for its client, how many may wait, and how many connections a user may have. */
  readonly registrationTtlMs: number;
  readonly registrationsMax: number;
  readonly userConnectionsMax: number;
  /** Connections over all nodes of this machine. */
  readonly connectionsMax: number;
  /** The node's name, which no other has. */
  readonly node: string;
  /** The machine, where several nodes on it share that limit and no supervisor counts for them. */
  readonly machine?: string | undefined;
  /** What an engine's names in a store that others use too begin with. */
  readonly prefix: string;
  /** Something that an operator should know, as a sentence without passwords. */
  readonly warn: (sentence: string) => void;
  /** Monotonic, in ms. */
  readonly now: () => number;
  /** Never the same twice: 8 random letters. */
  readonly newEpoch: () => string;
}
