// What a node counts: sums of what it knows anyway, in numbers that only grow, except where they say how many there are now.
// Nothing here runs for each subscriber of a fan-out. src/metrics reads all of it when somebody asks for the metrics.
import type { ErrorCode, Refusal } from "./errors";
import type { Protocol } from "./protocol";
import type { Frame } from "./transport";

/** Upper bounds of times, in seconds: from a send that did not wait to a client that gives up. */
export const SECONDS: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
];

/** Upper bounds of how many publications a wave has. */
const WAVE_SIZES: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024];

/** How often values were at most as large as each bound. */
export class Histogram {
  readonly bounds: readonly number[];
  /** Of the values between a bound and the one before; the last one is of those above all bounds. */
  readonly counts: number[];
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = Array(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    let at = 0;
    while (at < this.bounds.length && value > (this.bounds[at] as number)) at++;
    this.counts[at] = (this.counts[at] as number) + 1;
    this.sum += value;
  }
}

/** What is counted of the connections that speak one protocol. */
export class ProtocolTally {
  readonly #byteLength: (text: string) => number;
  /** Connections that are open now. */
  open = 0;
  /** Connections that were ever opened. */
  opened = 0;
  deliveries = 0;
  deliveredBytes = 0;

  constructor(byteLength: (text: string) => number) {
    this.#byteLength = byteLength;
  }

  /** A publication was sent to so many connections, all of which get the same frame. */
  delivered(receivers: number, frame: Frame): void {
    const bytes = typeof frame === "string" ? this.#byteLength(frame) : frame.byteLength;
    this.deliveries += receivers;
    this.deliveredBytes += receivers * bytes;
  }
}

export class Tally {
  readonly #byteLength: (text: string) => number;
  /** By name. */
  readonly protocols = new Map<string, ProtocolTally>();
  /** Closed connections by close code. */
  readonly closed = new Map<string, number>();
  readonly refusals = new Map<ErrorCode, number>();
  /** Topics that clients asked to recover, by what became of that. */
  readonly recoveries = { recovered: 0, lost: 0 };
  /** Publications that this node took from publishers and that were acknowledged. */
  publications = 0;
  slowConsumers = 0;
  /** How many publications left together. */
  readonly waveSizes = new Histogram(WAVE_SIZES);
  /** The time from the acceptance of a publication to its departure for the sockets, in seconds. */
  readonly departures = new Histogram(SECONDS);

  /** `byteLength` measures text in UTF-8. */
  constructor(byteLength: (text: string) => number) {
    this.#byteLength = byteLength;
  }

  /** What is counted of a protocol; it is one for all sizes that clients may ask for. */
  of(protocol: Protocol): ProtocolTally {
    const isSized = "maxBytes" in protocol && protocol.maxBytes !== undefined;
    const name = isSized ? protocol.name.slice(0, protocol.name.lastIndexOf("-")) : protocol.name;
    let tally = this.protocols.get(name);
    if (tally === undefined) {
      tally = new ProtocolTally(this.#byteLength);
      this.protocols.set(name, tally);
    }
    return tally;
  }

  /** Counts a refusal that somebody is told, and gives it back. */
  refused(refusal: Refusal): Refusal {
    this.refusals.set(refusal.code, (this.refusals.get(refusal.code) ?? 0) + 1);
    return refusal;
  }

  /**
   * Counts a closed connection; `code` is undefined where the client has ended its stream. Clients and backends choose
   * codes too: those that are neither a standard's nor the protocol's are counted as "other", so that they stay few.
   */
  connectionClosed({ closes }: Protocol, code: number | undefined): void {
    const isKnown =
      code === undefined ||
      (code >= 1_000 && code < 1_016) ||
      Object.values(closes).some((close) => close.code === code);
    const name = isKnown ? String(code ?? "none") : "other";
    this.closed.set(name, (this.closed.get(name) ?? 0) + 1);
  }

  recovered(outcome: keyof Tally["recoveries"]): void {
    this.recoveries[outcome]++;
  }

  /** A publication has left in the turn of the event loop in which it was accepted, which counts as no time. */
  leftAtOnce(): void {
    this.departures.observe(0);
  }

  /** Publications have left together; they were accepted at these times of the relay's clock, in milliseconds. */
  waveLeft(publications: readonly { readonly acceptedAt: number }[], now: number): void {
    this.waveSizes.observe(publications.length);
    for (const { acceptedAt } of publications) this.departures.observe((now - acceptedAt) / 1_000);
  }
}
