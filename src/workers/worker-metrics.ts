// The metrics of a relay with workers: the supervisor asks each of them for its report, and adds them up. Counts never go
// down: those of a worker that has ended stay, as it last reported them, and so do those of one that does not answer now.
import { lastingPart, type Report, sumOf, textOf } from "../metrics/report";
import type { WorkerHandle } from "./worker-handle";

/** How long a worker may take to report before its last report stands in for it. Prometheus waits 10 s for the sum. */
const REPORT_MS = 2_000;

export class WorkerMetrics {
  readonly #own: () => Report;
  readonly #workers: Iterable<WorkerHandle>;
  /** What workers that have ended had counted; undefined while there are none. */
  #ended: Promise<Report | undefined> = Promise.resolve(undefined);

  /** `own` is the supervisor's report, and `workers` are those that run, whenever they are asked. */
  constructor(own: () => Report, workers: Iterable<WorkerHandle>) {
    this.#own = own;
    this.#workers = workers;
  }

  /** A worker has ended, and had reported this last. */
  ended(report: Report | undefined): void {
    if (report === undefined) return;
    const counts = lastingPart(report);
    this.#ended = this.#ended.then((sum) => (sum === undefined ? counts : sumOf([sum, counts])));
  }

  /** Resolves with the metrics of all processes. */
  async text(): Promise<string> {
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(timeout.resolve, REPORT_MS);
    const asked = Array.from(this.#workers, (worker) => worker.askForReport());
    await Promise.race([Promise.all(asked), timeout.promise]);
    clearTimeout(timer);
    const reports = Array.from(this.#workers, ({ report }) => report);
    const known = [...reports, await this.#ended].filter((report) => report !== undefined);
    return textOf([this.#own(), ...known]);
  }
}
