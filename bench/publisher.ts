// Sends publications over keep-alive HTTP connections, one lane for each publication in flight.
// Never measured: a request is a prepared buffer in which only the message's digits change.
import { nowUs } from "./load/clock";
import { Histogram } from "./load/histogram";
import { Lane, postRequest } from "./load/http";
import { blankMessage, LANES_MAX, stamp } from "./load/message";
import { publishBody } from "./targets/target";

/** How often lanes that wait for slow receivers look again. */
const PARKED_MS = 2;
/** Timers are late by up to this; the rest of a wait is slept away exactly. */
const TIMER_SLACK_MS = 1.5;
const ANSWER_MS = 15_000;

export interface Published {
  readonly count: number;
  /** Sum of what the server said it delivered. */
  readonly delivered: number;
  /** How long after they were due publications left: the publisher's own part of the latency. */
  readonly lateness: Histogram;
}

interface Track {
  readonly lane: Lane;
  readonly request: Buffer;
  /** Where each message of the request begins. */
  readonly messagesAt: readonly number[];
  sequence: number;
}

export class Publisher {
  readonly #tracks: Track[] = [];
  readonly #failure = Promise.withResolvers<never>();

  private constructor() {
    // Most failures come while somebody waits; the others show at the next wait.
    this.#failure.promise.catch(() => {});
  }

  /** Opens `lanes` HTTP connections that publish to a topic, or each to one user in turn. */
  static async open(
    port: number,
    topic: string,
    lanes: number,
    users: readonly number[] = [],
    batch = 1,
  ): Promise<Publisher> {
    if (lanes > LANES_MAX) throw new Error(`at most ${LANES_MAX} lanes`);
    const publisher = new Publisher();
    for (let n = 0; n < lanes; n++) {
      const lane = await Lane.connect(port, publisher.#failure.reject);
      const message = blankMessage(n);
      const one = publishBody(topic, message, users[n % Math.max(1, users.length)]);
      const body = batch === 1 ? one : `[${Array(batch).fill(one).join(",")}]`;
      const { bytes, bodyAt } = postRequest("/publish", body);
      const messagesAt: number[] = [];
      for (let at = body.indexOf(message); at >= 0; at = body.indexOf(message, at + 1)) {
        messagesAt.push(bodyAt + at);
      }
      publisher.#tracks.push({ lane, request: bytes, messagesAt, sequence: 0 });
    }
    return publisher;
  }

  /**
   * Each lane publishes again as soon as it was answered, until `count` were sent or `seconds` are
   * over. `mayGo` holds lanes back while the receivers are too far behind.
   */
  async publishAtOnce(
    limit: { readonly count?: number; readonly seconds?: number },
    mayGo: (published: number) => boolean,
  ): Promise<Published> {
    this.#restart();
    const deadline = performance.now() + (limit.seconds ?? Number.POSITIVE_INFINITY) * 1e3;
    const most = limit.count ?? Number.POSITIVE_INFINITY;
    const finished = Promise.withResolvers<void>();
    let parked: Track[] = [];
    let count = 0;
    let busy = this.#tracks.length;
    let delivered = 0;
    const next = (track: Track) => {
      if (count >= most || performance.now() >= deadline) {
        if (--busy === 0) finished.resolve();
      } else if (!mayGo(count)) {
        parked.push(track);
      } else {
        count += track.messagesAt.length;
        this.#send(track, nowUs(), (told) => {
          delivered += told;
          next(track);
        });
      }
    };
    const timer = setInterval(() => {
      const waiting = parked;
      parked = [];
      for (const track of waiting) next(track);
    }, PARKED_MS);
    for (const track of this.#tracks) next(track);
    try {
      await Promise.race([finished.promise, this.#failure.promise]);
    } finally {
      clearInterval(timer);
    }
    return { count, delivered, lateness: new Histogram() };
  }

  /** Publishes `rate` times a second for some seconds, whether or not earlier ones were answered. */
  async publishOnTime(seconds: number, rate: number): Promise<Published> {
    this.#restart();
    const total = Math.max(1, Math.round(seconds * rate));
    const free = [...this.#tracks];
    const due: number[] = [];
    const lateness = new Histogram();
    const finished = Promise.withResolvers<void>();
    let answered = 0;
    let delivered = 0;
    const drain = () => {
      while (due.length > 0) {
        const track = free.shift();
        if (track === undefined) return;
        const dueUs = due.shift() ?? 0;
        lateness.add(nowUs() - dueUs);
        this.#send(track, dueUs, (told) => {
          delivered += told;
          free.push(track);
          if (++answered === total) finished.resolve();
          drain();
        });
      }
    };
    const startUs = nowUs() + 10_000;
    for (let n = 0; n < total; n++) {
      const dueUs = startUs + Math.round((n * 1e6) / rate);
      await sleepUntil(dueUs);
      due.push(dueUs);
      drain();
    }
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(late.reject, ANSWER_MS, new Error("publications stay unanswered"));
    await Promise.race([finished.promise, this.#failure.promise, late.promise]);
    clearTimeout(timer);
    return { count: total, delivered, lateness };
  }

  close(): void {
    for (const track of this.#tracks) track.lane.close();
  }

  #restart(): void {
    for (const track of this.#tracks) track.sequence = 0;
  }

  #send(track: Track, dueUs: number, answered: (delivered: number) => void): void {
    for (const at of track.messagesAt) stamp(track.request, at, track.sequence++, dueUs);
    track.lane.send(track.request, (status, body) => {
      if (status === 200) answered(deliveredIn(body));
      else this.#failure.reject(new Error(`a publication was answered ${status}: ${body}`));
    });
  }
}

/** The sum of what the answer says of each publication. */
function deliveredIn(body: string): number {
  let sum = 0;
  for (const [, delivered] of body.matchAll(/"delivered": ?(\d+)/g)) sum += Number(delivered);
  return sum;
}

const cell = new Int32Array(new SharedArrayBuffer(4));

/** Sleeps with a timer while that is safe, then blocks for the exact rest (below 2 ms). */
async function sleepUntil(us: number): Promise<void> {
  const early = (us - nowUs()) / 1e3 - TIMER_SLACK_MS;
  if (early > 0) await Bun.sleep(early);
  else await new Promise((resolve) => setImmediate(resolve));
  const rest = (us - nowUs()) / 1e3;
  if (rest > 0) Atomics.wait(cell, 0, 0, rest);
}
