// What is counted of the questions to the backend, for the metrics.
import type { QuestionKind } from "../../../relay/contracts/backend/questions";
import { Histogram, SECONDS } from "../../../relay/contracts/tally";
import type { FailureReason } from "./calls";

/** What the answers said; "shared": it was that of another client with the same credentials. */
type Outcome = "granted" | "refused" | "shared";

export class ProxyTally {
  readonly #load: { readonly waiting: number; readonly running: number };
  /** By question and outcome, and by question and reason, with a space between them. */
  readonly #answers = new Map<string, number>();
  readonly #failures = new Map<string, number>();
  /** From the question to its answer, waiting included, in seconds. */
  readonly durations = new Map<QuestionKind, Histogram>();

  constructor(load: { readonly waiting: number; readonly running: number }) {
    this.#load = load;
  }

  /** Questions that wait for others to be answered, and that are being asked. */
  get waiting(): number {
    return this.#load.waiting;
  }

  get running(): number {
    return this.#load.running;
  }

  answered(question: QuestionKind, outcome: Outcome): void {
    count(this.#answers, `${question} ${outcome}`);
  }

  failed(question: QuestionKind, reason: FailureReason): void {
    count(this.#failures, `${question} ${reason}`);
  }

  took(question: QuestionKind, seconds: number): void {
    const histogram = this.durations.getOrInsertComputed(question, () => new Histogram(SECONDS));
    histogram.observe(seconds);
  }

  /** With the labels of each. */
  get answers(): [{ question: string; outcome: string }, number][] {
    return Array.from(this.#answers, ([key, sum]) => {
      const [question = "", outcome = ""] = key.split(" ");
      return [{ question, outcome }, sum];
    });
  }

  get failures(): [{ question: string; reason: string }, number][] {
    return Array.from(this.#failures, ([key, sum]) => {
      const [question = "", reason = ""] = key.split(" ");
      return [{ question, reason }, sum];
    });
  }
}

function count(sums: Map<string, number>, key: string): void {
  sums.set(key, (sums.get(key) ?? 0) + 1);
}
