// A worker: one node among several that share a port. Its supervisor has the engine, unless every node reaches the engine's
// store by itself, and orders the worker to end.
import type { SupervisorUsage } from "../console/node-figures";
import type { Log } from "../log";
import type { Report } from "../metrics/report";
import { type RunningNode, start } from "../node";
import { sharesEngine } from "../node/engine";
import { EngineUnavailable } from "../relay/contracts/engine";
import type { Settings } from "../settings/definitions";
import { EngineClient } from "./engine-client";
import {
  type FromSupervisor,
  type FromWorker,
  type MetricsAnswer,
  type Order,
  PIPE_VERSION,
  type Ping,
  type ReportRequest,
} from "./messages";
import { Pipe } from "./pipe";
import type { ParentProcess, WorkerArguments } from "./spawn";

/** How long the supervisor may take to acknowledge the worker's last messages. */
const FLUSH_MS = 1_000;

/** How long the supervisor may take to answer with the metrics of all processes: it waits for each of them. */
const METRICS_MS = 5_000;

/** What the processes of the relay tell each other about themselves: this worker's report, the metrics of all, the supervisor's usage. */
class ReportClient {
  readonly #send: (message: FromWorker) => void;
  readonly #own: () => Report | undefined;
  /** Whether the supervisor has asked for a report: one of an older version, which began this worker, knows of none. */
  #hasBegun = false;
  readonly #begun = Promise.withResolvers<void>();
  #answer: PromiseWithResolvers<string> | undefined;
  /** What the supervisor has said last of itself. */
  supervisorUsage: SupervisorUsage | undefined;

  constructor(send: (message: FromWorker) => void, own: () => Report | undefined) {
    this.#send = send;
    this.#own = own;
  }

  /** Takes what is about reports; returns whether the message was. */
  receive(message: FromSupervisor): message is ReportRequest | MetricsAnswer | Ping {
    if ("reportWanted" in message) {
      this.#hasBegun = true;
      this.#begun.resolve();
      this.report();
    } else if ("metrics" in message) this.#answer?.resolve(message.metrics);
    else if (!("ping" in message)) return false;
    else if (message.ping !== true) this.supervisorUsage = message.ping;
    return true;
  }

  report(): void {
    const report = this.#own();
    if (report !== undefined && this.#hasBegun) this.#send({ report });
  }

  /** Rejects with EngineUnavailable. To be called again only when it has settled. */
  text(): Promise<string> {
    const answer = Promise.withResolvers<string>();
    this.#answer = answer;
    this.#begun.promise.then(() => this.#send({ metricsWanted: true }));
    const silent = new EngineUnavailable("the supervisor does not answer");
    const timer = setTimeout(() => answer.reject(silent), METRICS_MS);
    return answer.promise.finally(() => clearTimeout(timer));
  }
}

type HowEnded = "ended" | "orphaned";

/** The end of a worker, which comes when its node has ended. */
class End {
  readonly #ended = Promise.withResolvers<HowEnded>();

  get promise(): Promise<HowEnded> {
    return this.#ended.promise;
  }

  after(nodeEnds: Promise<void> | undefined, how: HowEnded): void {
    Promise.resolve(nodeEnds).then(() => this.#ended.resolve(how), this.#ended.reject);
  }
}

/**
 * Runs a worker until it has ended as ordered, or is orphaned: its supervisor has exited. Rejects with what Bun throws when
 * the address cannot be had.
 */
export async function runWorker(
  settings: Settings,
  log: Log,
  supervisor: ParentProcess,
  { machine, start: phase }: WorkerArguments,
): Promise<HowEnded> {
  const end = new End();
  let node: RunningNode | undefined;
  const pipe = new Pipe({
    send: (text) => supervisor.send(text),
    onMessage: (received) => {
      const message = received as FromSupervisor;
      if ("order" in message) obey(message);
      else if (!reports.receive(message)) engine.receive(message);
    },
    onFault: (error) =>
      log.error({ err: error }, "a message of the supervisor could not be obeyed"),
  });
  let isStarting = phase === "first";
  const announced = Promise.withResolvers<void>();
  const obey = ({ order }: Order): void => {
    if (order === "serve") isStarting = false;
    else if (order === "announce shutdown") announced.resolve();
    else if (order === "stop listening") node?.stopListening();
    else end.after(order === "retire" ? node?.retire() : node?.shutdown(), "ended");
  };
  const send = (message: FromWorker): void => pipe.push(message);
  const reports = new ReportClient(send, () => node?.metrics.report());
  const engine = new EngineClient({
    send,
    isFull: () => pipe.isFull,
    now: () => performance.now(),
  });
  supervisor.onText((text) => pipe.receive(text));
  supervisor.onExit(() => {
    log.error("the supervisor has exited, so this worker ends");
    engine.close();
    end.after(node?.stop(), "orphaned");
  });
  node = await start(settings, log, {
    shared: true,
    isStarting: () => isStarting,
    allMetrics: () => reports.text(),
    supervisorUsage: () => reports.supervisorUsage,
    ...(sharesEngine(settings) ? { engine } : machine !== undefined && { machine }),
  });
  announced.promise.then(() => node?.announceShutdown());
  send({ listensAt: node.url, pipeVersion: PIPE_VERSION });
  const how = await end.promise;
  // The supervisor must learn which registrations the closed connections have released, and what was counted.
  reports.report();
  await flushed(pipe);
  return how;
}

/** Resolves when the supervisor has taken in all that it was sent, or does not answer. */
function flushed(pipe: Pipe): Promise<void> {
  pipe.flush();
  return pipe.acknowledged(FLUSH_MS);
}
