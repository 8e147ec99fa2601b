// What the relay asks of an engine. test/contract/engine.ts is the same in tests, for every engine.
import type { Publication, Published } from "./publication";

/** Hands a publication to the connections of this node; answers to how many it was sent. */
export type Deliver = (publication: Publication) => number;

/** What an engine rejects a publish with when it cannot take it now. Anything else is a fault of ours. */
export class EngineUnavailable extends Error {}

export interface Engine {
  readonly name: string;
  /** Called once, before any publish. `deliver` is then called once for each publication on every node. */
  start(deliver: Deliver): void | Promise<void>;
  /**
   * Accepts a publication. Publications of one topic are delivered in the order in which they were
   * accepted. A throw or a rejection with EngineUnavailable means: not accepted, nobody got it.
   */
  publish(publication: Publication): Published | Promise<Published>;
  /** Whether a publish would be accepted now. */
  healthy(): boolean;
  /** Resolves when all that was accepted is delivered or kept; publishes after it are rejected. */
  close(): void | Promise<void>;
}
