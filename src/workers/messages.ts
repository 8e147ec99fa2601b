// Every message between a supervisor and its workers: calls to the engine and their answers, what the engine has for its
// nodes, and the orders that start and end a worker. All of them travel as JSON over a pipe, in the order in which they are sent.
import type { SupervisorUsage } from "../console/node-figures";
import type { Report } from "../metrics/report";
import type {
  AfterRelease,
  GroupChange,
  GroupMember,
  HistoryRange,
  Registration,
} from "../relay/contracts/engine";
import type { ErrorCode } from "../relay/contracts/errors";
import type { Publication } from "../relay/contracts/publication";
import type { RecordBounds, SourceRecord } from "../relay/contracts/store";

/**
 * After this much silence the other side counts as out of reach. Each side receives something at least once a second: the
 * supervisor sends a ping, and the pipe acknowledges it.
 */
export const SILENCE_MS = 5_000;

/** A worker's call to the shared engine. It is answered under its number. */
export type EngineCall =
  | { readonly do: "publish"; readonly publication: Publication; readonly key?: string | undefined }
  | { readonly do: "history"; readonly topic: string; readonly range: HistoryRange }
  | { readonly do: "forget"; readonly topic: string }
  | { readonly do: "sendToNodes"; readonly message: string }
  | { readonly do: "add"; readonly registration: Registration }
  | { readonly do: "claim"; readonly id: string; readonly address?: string | undefined }
  | {
      readonly do: "own";
      readonly id: string;
      readonly user: string;
      readonly address?: string | undefined;
    }
  | { readonly do: "remove"; readonly id: string }
  | {
      readonly do: "enter";
      readonly group: string;
      readonly member: GroupMember;
      readonly membersMax: number;
    }
  | { readonly do: "groupState"; readonly group: string }
  | { readonly do: "groupSize"; readonly group: string }
  | {
      readonly do: "publishRecords";
      readonly partition: string;
      readonly records: readonly SourceRecord[];
    }
  | { readonly do: "positionOf"; readonly partition: string }
  | StoreCall;

/** A call about records and queues. */
export type StoreCall =
  | {
      readonly do: "putRecord";
      readonly put: readonly [set: string, name: string, value: string, bounds: RecordBounds];
    }
  | { readonly do: "getRecord"; readonly set: string; readonly name: string }
  | { readonly do: "listRecords"; readonly set: string }
  | { readonly do: "removeRecord"; readonly set: string; readonly name: string }
  | {
      readonly do: "append";
      readonly queue: string;
      readonly entries: readonly string[];
      readonly max: number;
    }
  | { readonly do: "first"; readonly queue: string; readonly limit: number }
  | { readonly do: "removeUpTo"; readonly queue: string; readonly number: number }
  | { readonly do: "queueSize"; readonly queue: string };

/** What a worker sends to the shared engine. Only calls are answered. */
export type ToEngine =
  | { readonly call: EngineCall; readonly number: number }
  | { readonly follow: string }
  | { readonly unfollow: string }
  | { readonly release: readonly [id: string, term: number, next: AfterRelease] }
  | { readonly leave: readonly [group: string, name: string] };

/** The answer to the call of this number. */
export type EngineAnswer =
  | { readonly number: number; readonly answer: unknown }
  | { readonly number: number; readonly refused: { code: ErrorCode; message: string } }
  | { readonly number: number; readonly unavailable: string }
  /** The engine threw something unexpected; this is its message. */
  | { readonly number: number; readonly fault: string };

/** What the shared engine sends to a worker. */
export type FromEngine =
  | EngineAnswer
  | { readonly deliver: Publication }
  | { readonly historyReset: string }
  /** A message that another worker has sent to all nodes. */
  | { readonly nodeMessage: string }
  | { readonly groupChanged: GroupChange }
  | { readonly state: EngineState };

export interface EngineState {
  readonly healthy: boolean;
  /** How many registrations wait for their clients. */
  readonly waiting: number;
  /** It knows records of sources, values and queues. Supervisors of older versions do not. */
  readonly hasStore?: true;
}

/**
 * "serve": all workers listen, so that the relay has started. "announce shutdown": says that it is not ready, and serves all the same.
 * "stop listening": takes no new connections. "retire": closes its connections over the shutdown window, serving requests meanwhile, and
 * ends. "shutdown": the same, but refuses new requests at once.
 */
export interface Order {
  readonly order: "serve" | "announce shutdown" | "stop listening" | "retire" | "shutdown";
}

/**
 * Sent to each worker once a second. The pipe's acknowledgement shows that the worker's loop runs. Supervisors of older versions
 * say nothing of themselves.
 */
export interface Ping {
  readonly ping: SupervisorUsage | true;
}

/** Asks a worker for its report. */
export interface ReportRequest {
  readonly reportWanted: true;
}

/** What a worker has counted, when it is asked and when it ends. */
interface WorkerReport {
  readonly report: Report;
}

/** A worker asks for the metrics of all processes, for somebody who has asked it. */
interface MetricsRequest {
  readonly metricsWanted: true;
}

/** The metrics of all processes as text. */
export interface MetricsAnswer {
  readonly metrics: string;
}

/**
 * Raised whenever a worker of the version before would misunderstand its supervisor. A worker must live under supervisors of older versions,
 * since SIGHUP starts new code; one that is older than its supervisor must not serve.
 */
export const PIPE_VERSION = 1;

/** A worker's first message: the address at which it listens. The oldest workers do not say their version. */
interface ReadyReport {
  readonly listensAt: string;
  readonly pipeVersion?: number;
}

export type FromWorker = ToEngine | ReadyReport | WorkerReport | MetricsRequest;

export type FromSupervisor = FromEngine | Order | Ping | ReportRequest | MetricsAnswer;
