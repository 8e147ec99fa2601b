// What every engine is made with.
import type { TopicRules } from "../relay/rules";

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
  /** Connections over all nodes. */
  readonly connectionsMax: number;
  /** Monotonic, in ms. */
  readonly now: () => number;
  /** Never the same twice: 8 random letters. */
  readonly newEpoch: () => string;
}
