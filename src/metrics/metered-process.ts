// What the series are read from: a process of the relay, and what its parts have counted.
import type { Histogram } from "../relay/contracts/tally";
import type { Relay } from "../relay/relay";
import type { Sources } from "../sources/sources";
import type { MeteredEngine } from "./metered-engine";

/** A process whose metrics are asked for. */
export interface MeteredProcess {
  readonly version: string;
  /** Empty where it runs from its source. */
  readonly revision: string;
  readonly connectionsMax: number;
  readonly historyBytesMax: number;
  readonly storeBytesMax: number;
  /** In seconds. */
  readonly loopDelays: Histogram;
  /** Undefined where the process does not have the engine, or the engine's store counts by itself. */
  readonly historyBytes: () => number | undefined;
  readonly storeBytes: () => number | undefined;
  /** Undefined in a supervisor, which takes no connections. */
  readonly node?: MeteredNode;
}

export interface MeteredNode {
  readonly relay: Relay;
  readonly engine: MeteredEngine;
  readonly webhooks: {
    readonly figures: Readonly<Record<"waiting" | "sent" | "givenUp" | "lateMs", number>>;
  };
  readonly sources: Pick<Sources, "tallies">;
  readonly proxies: { readonly tally: QuestionTally };
  /** Undefined without Web Push. */
  readonly webPush:
    | {
        readonly figures: {
          readonly waiting: number;
          readonly outcomes: Readonly<Record<string, number>>;
        };
      }
    | undefined;
  /** Undefined without TLS. */
  readonly certificate: () => { readonly expiresAt: number } | undefined;
}

/** What is counted of the questions to the backend. */
export interface QuestionTally {
  readonly waiting: number;
  readonly running: number;
  readonly answers: Iterable<Sample>;
  readonly failures: Iterable<Sample>;
  readonly durations: ReadonlyMap<string, Histogram>;
}

export type Labels = Readonly<Record<string, string>>;

/** A value of a counter or gauge, or the observations of a histogram. */
export type Sample = readonly [labels: Labels, value: number | Histogram];
