// Sends publications over keep-alive HTTP connections, one for each request in flight, or as lines of requests that stay open.
// It is never measured: a request is a prepared buffer in which only the digits of its messages change.
import { HttpConnection, postRequest } from "../load/http";
import { chunkOf, LineRequest } from "../load/line-request";
import { firstMessage, SENDERS_MAX, stamp } from "../load/message";
import { nowUs } from "../measure/clock";
import { Histogram } from "../measure/histogram";
import { PUBLISH_ROUTE, type Target } from "../targets/target";

/** How often senders that wait for slow receivers check whether they may continue. */
const WAITING_CHECK_MS = 2;
/** A timer can be this late, so the end of a wait blocks instead. */
const TIMER_SLACK_MS = 1.5;
/** Longer than any pause of a busy machine. */
const ANSWER_TIMEOUT_MS = 60_000;

/** The publications of one phase. */
interface Published {
  readonly count: number;
  /** The sum of the deliveries in the server's answers. */
  readonly delivered: number;
  /** How long after they were due publications were sent: the publisher's own part of the latency. */
  readonly lateness: Histogram;
}

interface PublisherSetup {
  readonly target: Target;
  /** The length of each message. */
  readonly bytes: number;
  readonly topic: string;
  readonly senders: number;
  /** Users to publish to, one for each sender in turn; everybody if not set. */
  readonly users?: readonly number[] | undefined;
  /** Publications in one request; 1 if not set. */
  readonly batch?: number | undefined;
  /** Each sender has one request, to which it adds `batch` lines when those before are answered. */
  readonly asLines?: boolean | undefined;
}

/** One HTTP connection with its request. It publishes again only after it was answered. */
interface Sender {
  readonly http: HttpConnection | LineRequest;
  readonly request: Buffer;
  /** Where each message of the request begins. */
  readonly messagesAt: readonly number[];
  sequence: number;
}

export class Publisher {
  readonly #senders: Sender[] = [];
  readonly #failure = Promise.withResolvers<never>();

  private constructor() {
    // Most failures come during a wait; the others show at the next wait.
    this.#failure.promise.catch(() => {});
  }

  static async open(port: number, setup: PublisherSetup): Promise<Publisher> {
    const { target, topic, senders, users = [], batch = 1 } = setup;
    const { path, headers, body: bodyOf } = target.publishRoute ?? PUBLISH_ROUTE;
    if (senders > SENDERS_MAX) throw new Error(`at most ${SENDERS_MAX} requests can be in flight`);
    const publisher = new Publisher();
    for (let n = 0; n < senders; n++) {
      const message = firstMessage(n, setup.bytes);
      const one = bodyOf(topic, message, users[n % Math.max(1, users.length)]);
      const all = Array<string>(batch).fill(one);
      const body =
        setup.asLines === true ? `${all.join("\n")}\n` : batch === 1 ? one : `[${all.join(",")}]`;
      const { bytes, bodyAt } =
        setup.asLines === true ? chunkOf(body) : postRequest(path, body, headers);
      const messagesAt: number[] = [];
      for (let at = body.indexOf(message); at >= 0; at = body.indexOf(message, at + 1)) {
        messagesAt.push(bodyAt + at);
      }
      const onFailure = publisher.#failure.reject;
      const http =
        setup.asLines === true
          ? await LineRequest.open(port, { path, lines: batch }, onFailure)
          : await HttpConnection.open(port, onFailure);
      publisher.#senders.push({ http, request: bytes, messagesAt, sequence: 0 });
    }
    return publisher;
  }

  /**
   * Each sender publishes again as soon as it is answered, until `count` publications are sent or `seconds` are over.
   * It waits while `mayPublish` says that the receivers are too far behind.
   */
  async publishUnpaced(
    limit: { readonly count?: number; readonly seconds?: number },
    mayPublish: (published: number) => boolean,
  ): Promise<Published> {
    this.#restart();
    const deadline = performance.now() + (limit.seconds ?? Number.POSITIVE_INFINITY) * 1e3;
    const countMax = limit.count ?? Number.POSITIVE_INFINITY;
    const finished = Promise.withResolvers<void>();
    let waiting: Sender[] = [];
    let count = 0;
    let active = this.#senders.length;
    let delivered = 0;
    const publishNext = (sender: Sender) => {
      if (count >= countMax || performance.now() >= deadline) {
        if (--active === 0) finished.resolve();
      } else if (!mayPublish(count)) {
        waiting.push(sender);
      } else {
        count += sender.messagesAt.length;
        this.#send(sender, nowUs(), (deliveries) => {
          delivered += deliveries;
          publishNext(sender);
        });
      }
    };
    const timer = setInterval(() => {
      const ready = waiting;
      waiting = [];
      for (const sender of ready) publishNext(sender);
    }, WAITING_CHECK_MS);
    for (const sender of this.#senders) publishNext(sender);
    try {
      await Promise.race([finished.promise, this.#failure.promise]);
    } finally {
      clearInterval(timer);
    }
    return { count, delivered, lateness: new Histogram() };
  }

  /** Publishes `rate` times a second for some seconds, whether or not earlier publications are answered. */
  async publishAtRate(seconds: number, rate: number): Promise<Published> {
    this.#restart();
    const total = Math.max(1, Math.round(seconds * rate));
    const free = [...this.#senders];
    const due: number[] = [];
    const lateness = new Histogram();
    const finished = Promise.withResolvers<void>();
    let answered = 0;
    let delivered = 0;
    const sendDue = () => {
      while (due.length > 0) {
        const sender = free.shift();
        if (sender === undefined) return;
        const dueUs = due.shift() ?? 0;
        lateness.add(nowUs() - dueUs);
        this.#send(sender, dueUs, (deliveries) => {
          delivered += deliveries;
          free.push(sender);
          if (++answered === total) finished.resolve();
          sendDue();
        });
      }
    };
    const startUs = nowUs() + 10_000;
    for (let n = 0; n < total; n++) {
      const dueUs = startUs + Math.round((n * 1e6) / rate);
      await sleepUntil(dueUs);
      due.push(dueUs);
      sendDue();
    }
    const timeout = Promise.withResolvers<never>();
    const timer = setTimeout(
      timeout.reject,
      ANSWER_TIMEOUT_MS,
      new Error(`${ANSWER_TIMEOUT_MS / 1e3} s after the last publication some were not answered`),
    );
    try {
      await Promise.race([finished.promise, this.#failure.promise, timeout.promise]);
    } finally {
      clearTimeout(timer);
    }
    return { count: total, delivered, lateness };
  }

  close(): void {
    for (const sender of this.#senders) sender.http.close();
  }

  #restart(): void {
    for (const sender of this.#senders) sender.sequence = 0;
  }

  #send(sender: Sender, dueUs: number, onAnswer: (delivered: number) => void): void {
    for (const at of sender.messagesAt) stamp(sender.request, at, sender.sequence++, dueUs);
    sender.http.send(sender.request, (status, body) => {
      if (status === 200) onAnswer(deliveredIn(body));
      else this.#failure.reject(new Error(`a publication was answered ${status}: ${body}`));
    });
  }
}

/** The sum of the deliveries in an answer, which has a number for each publication. */
function deliveredIn(body: string): number {
  let sum = 0;
  for (const [, delivered] of body.matchAll(/"delivered": ?(\d+)/g)) sum += Number(delivered);
  return sum;
}

const neverNotified = new Int32Array(new SharedArrayBuffer(4));

/** Sleeps with a timer as long as that cannot be late, then blocks for the rest (below 2 ms). */
async function sleepUntil(us: number): Promise<void> {
  const timerMs = (us - nowUs()) / 1e3 - TIMER_SLACK_MS;
  if (timerMs > 0) await Bun.sleep(timerMs);
  else await new Promise(setImmediate);
  const restMs = (us - nowUs()) / 1e3;
  if (restMs > 0) Atomics.wait(neverNotified, 0, 0, restMs);
}
