// The messages between the bench and a load process, over Bun's IPC.
// Every request gets one reply with its number; `progress` is sent unasked while messages arrive.
import type { ConnectionRange } from "../targets/target";

/** What connections have to count and check in the phase that starts. */
export interface PhaseSetup {
  /** The publisher's senders, each of which numbers its messages from 0. */
  readonly senders: number;
  /** The length of each message. */
  readonly bytes: number;
  /** The messages of one connection in so many are timed. */
  readonly examinedOneIn: number;
  /** The connections that will be open in the phase; those that are open now if not set. */
  readonly connections?: number;
}

export type LoadRequest =
  /** Prepares the connections' addresses; registers them if the target has registrations. */
  | { readonly kind: "prepare"; readonly range: ConnectionRange }
  /** Connects to all prepared addresses; answered when all connections are open. */
  | { readonly kind: "connect" }
  /** Starts a phase: counters and sequence numbers begin at 0. */
  | { readonly kind: "startPhase"; readonly setup: PhaseSetup }
  /** Ends the phase. */
  | { readonly kind: "report" }
  /** Closes all connections; `connect` opens them again at the same addresses. */
  | { readonly kind: "disconnect" };

export interface LoadReport {
  readonly received: number;
  /** The first few faults: lost, duplicate, reordered or damaged messages, and closed connections. */
  readonly faults: readonly string[];
  readonly latency: readonly number[];
}

export interface NumberedRequest {
  readonly number: number;
  readonly request: LoadRequest;
}

export type FromLoadProcess =
  | { readonly kind: "progress"; readonly received: number }
  | { readonly kind: "done"; readonly number: number; readonly report: LoadReport }
  | { readonly kind: "failed"; readonly number: number; readonly message: string };
