// What the bench asks of a load process, and what a load process tells it, over Bun's IPC.
// Every order gets one answer with its number; `progress` comes by itself while messages arrive.
import type { Crowd } from "../targets/target";

export type Order =
  /** Makes the connections' addresses known: registers them where the target has registrations. */
  | { readonly kind: "prepare"; readonly crowd: Crowd }
  /** Opens what was prepared; answered when all are open. */
  | { readonly kind: "connect" }
  /** Starts a phase: counters and sequence numbers from 0. */
  | {
      readonly kind: "watch";
      readonly lanes: number;
      readonly latency: boolean;
      readonly links?: number;
    }
  | { readonly kind: "report" }
  /** Drops all connections, to connect to the same addresses again. */
  | { readonly kind: "drop" }
  /** Drops all connections. */
  | { readonly kind: "close" }
  /** Ends this process id if the bench itself disappears. */
  | { readonly kind: "guard"; readonly pid: number };

export interface Report {
  readonly received: number;
  readonly open: number;
  /** The first few things that were wrong: lost, doubled or reordered messages, closed connections. */
  readonly faults: readonly string[];
  readonly latency: readonly number[] | undefined;
}

export type FromBench = { readonly number: number; readonly order: Order };

export type FromLoad =
  | { readonly kind: "progress"; readonly received: number }
  | { readonly kind: "done"; readonly number: number; readonly report: Report }
  | { readonly kind: "failed"; readonly number: number; readonly message: string };
