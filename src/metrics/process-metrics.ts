// The metrics of one process: what it reports, and how it answers whoever asks for the metrics of the relay.
import type { Log } from "../log";
import type { Engine } from "../relay/contracts/engine";
import { revision, version } from "../version";
import { MetricsListener } from "./listener";
import { LoopDelay } from "./loop-delay";
import type { MeteredProcess } from "./metered-process";
import { metricsResponse, type Report, reportOf, textOf } from "./report";

interface ProcessMetricsOptions extends Omit<MeteredProcess, "loopDelays"> {
  /** Resolves with the metrics of all processes of the relay as text. Without it, this process is the only one. */
  readonly all?: (() => Promise<string>) | undefined;
}

export class ProcessMetrics {
  readonly #options: ProcessMetricsOptions;
  readonly #loopDelay = new LoopDelay();
  #listener: MetricsListener | undefined;
  /** The answer that is made in the next turn of the event loop, or is being made: whoever asks meanwhile gets the same. */
  #underWay: Promise<string> | undefined;

  constructor(options: ProcessMetricsOptions) {
    this.#options = options;
  }

  report(): Report {
    return reportOf({ ...this.#options, loopDelays: this.#loopDelay.delays });
  }

  /** Resolves with the metrics of the whole relay, in the Prometheus text format. */
  text(): Promise<string> {
    // It takes a millisecond, and anybody may ask at BATON_METRICS_LISTEN, however often.
    this.#underWay ??= new Promise<unknown>(setImmediate)
      .then(() => this.#make())
      .finally(() => {
        this.#underWay = undefined;
      });
    return this.#underWay;
  }

  readonly respond = async (): Promise<Response> => metricsResponse(await this.text());

  /** Serves them at BATON_METRICS_LISTEN too, if that is set. Throws MetricsFailure. */
  listen(address: string, log: Log): void {
    if (address === "") return;
    this.#listener = new MetricsListener(address, this.respond);
    log.info(`The metrics are open at ${this.#listener.url}.`);
  }

  async stop(): Promise<void> {
    this.#loopDelay.stop();
    await this.#listener?.stop();
  }

  #make(): Promise<string> {
    return this.#options.all?.() ?? textOf([this.report()]);
  }
}

/** What the metrics of every process say of it; `engine` is the one that it has itself. */
export function metricsOptions(
  settings: {
    readonly connectionsMax: number;
    readonly historyBytes: number;
    readonly storeBytes: number;
  },
  engine: Pick<Engine, "historyBytes" | "storeBytes"> | undefined,
) {
  return {
    version,
    revision,
    connectionsMax: settings.connectionsMax,
    historyBytesMax: settings.historyBytes,
    historyBytes: () => engine?.historyBytes,
    storeBytesMax: settings.storeBytes,
    storeBytes: () => engine?.storeBytes,
  };
}
