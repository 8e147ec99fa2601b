// `baton bench`: a load on a relay that runs already, to see what a deployment holds. Clients connect to a topic of their own,
// publications come at a steady rate, and it says what has arrived and after how long. What it takes of the machine itself counts too.
import { sanitized } from "../../relay/text/visible";
import { CommandFailure, EXIT } from "../failure";
import { note, print } from "../output";
import { Progress } from "../progress";
import type { RemoteRelay } from "../remote-relay";
import { Arrivals, Durations, messageOf, SENDERS } from "./arrivals";

export interface BenchFlags {
  readonly clients: number;
  readonly rate: number;
  readonly seconds: number;
  readonly size: number;
  readonly prefix: string;
  readonly json?: true;
}

/** The greatest of each; relays of others are not to be overrun by mistake. */
export const BENCH_MAX = { clients: 10_000, rate: 5_000, seconds: 600, size: 65_536 } as const;

/** A message needs room for its sender, number and time. */
export const SIZE_MIN = 40;

const DELIVERIES_A_SECOND_MAX = 1_000_000;

/** Clients that connect at once. */
const HANDSHAKES = 32;

/** After the last publication, messages may take so long, and as much again whenever some have arrived. */
const QUIET_MS = 2_000;
const CHECK_MS = 20;

/** Resolves when it has printed what happened. Throws CommandFailure where something was lost or refused. */
export async function bench(relay: RemoteRelay, flags: BenchFlags): Promise<void> {
  const { clients, rate, seconds } = flags;
  if (clients * rate > DELIVERIES_A_SECOND_MAX) {
    throw new CommandFailure(
      `${clients} clients at ${rate} publications a second are more than ${DELIVERIES_A_SECOND_MAX} messages a second: lower --clients or --rate.`,
      EXIT.misused,
    );
  }
  if (!relay.isHere) {
    note(`baton: ${relay.url} is not this machine: all who use that relay share this load.\n`);
  }
  const run = new Run(relay, flags);
  try {
    await run.open();
    await run.publish(rate * seconds);
    await run.untilQuiet();
  } finally {
    run.close();
  }
  run.report();
}

class Run {
  readonly #relay: RemoteRelay;
  readonly #flags: BenchFlags;
  readonly #topic: string;
  readonly #name = `baton-bench-${crypto.randomUUID().slice(0, 8)}`;
  readonly #arrivals: Arrivals;
  readonly #answers = new Durations();
  readonly #progress: Progress;
  readonly #sockets: WebSocket[] = [];
  #openedMs = 0;
  #published = 0;
  #publishedMs = 0;
  #refused = 0;
  #refusal = "";
  /** Connections that the relay has ended. */
  #ended = 0;
  #isOver = false;

  constructor(relay: RemoteRelay, flags: BenchFlags) {
    this.#relay = relay;
    this.#flags = flags;
    this.#topic = flags.prefix + this.#name;
    this.#arrivals = new Arrivals(flags.clients);
    this.#progress = new Progress(flags.rate * flags.seconds);
  }

  /** Throws CommandFailure. */
  async open(): Promise<void> {
    const start = performance.now();
    let started = 0;
    const openOneByOne = async () => {
      while (started < this.#flags.clients) await this.#connect(started++);
    };
    await Promise.all(Array.from({ length: HANDSHAKES }, openOneByOne));
    this.#openedMs = performance.now() - start;
  }

  /** At the rate, however late the answers are, as long as there are senders. Throws CommandFailure. */
  async publish(count: number): Promise<void> {
    const start = performance.now();
    let taken = 0;
    const send = async (sender: number) => {
      for (let number = 0; taken < count; ) {
        const dueMs = start + (1_000 * taken++) / this.#flags.rate;
        const waitMs = dueMs - performance.now();
        if (waitMs > 0) await Bun.sleep(waitMs);
        if (await this.#publish(sender, number, dueMs)) number++;
        this.#show();
      }
    };
    await Promise.all(Array.from({ length: SENDERS }, (_, sender) => send(sender)));
    // The last one is due before the time is over.
    const dueMs = (1_000 * count) / this.#flags.rate;
    this.#publishedMs = Math.max(dueMs, performance.now() - start);
  }

  /** Resolves when all has arrived, or nothing has for a while. */
  async untilQuiet(): Promise<void> {
    let received = -1;
    let changedAt = performance.now();
    while (this.#arrivals.received < this.#expected) {
      if (this.#arrivals.received !== received) changedAt = performance.now();
      else if (performance.now() - changedAt > QUIET_MS) return;
      received = this.#arrivals.received;
      this.#show();
      await Bun.sleep(CHECK_MS);
    }
  }

  close(): void {
    this.#isOver = true;
    this.#progress.clear();
    for (const socket of this.#sockets) socket.close();
  }

  /** Throws CommandFailure where not all is well. */
  report(): void {
    const { received, disordered, durations } = this.#arrivals;
    const lost = this.#expected - received;
    const a = {
      topic: this.#topic,
      clients: this.#flags.clients,
      opened_ms: rounded(this.#openedMs),
      published: this.#published,
      published_a_second: rounded((1_000 * this.#published) / this.#publishedMs),
      refused: this.#refused,
      ended: this.#ended,
      expected: this.#expected,
      received,
      lost,
      disordered,
      arrived_ms: quantiles(durations),
      answered_ms: quantiles(this.#answers),
    };
    if (this.#flags.json) print(JSON.stringify(a));
    else {
      print(`${a.clients} clients in the topic ${a.topic}, connected within ${a.opened_ms} ms`);
      print(
        `${a.published} published, ${a.published_a_second} a second; answered after ${textOf(a.answered_ms)}`,
      );
      print(
        `${received} of ${a.expected} messages received, ${lost} lost, ${disordered} twice or out of order`,
      );
      print(`received after ${textOf(a.arrived_ms)}`);
    }
    if (this.#refused > 0) {
      throw new CommandFailure(`${this.#refused} publications were refused. ${this.#refusal}`);
    }
    if (this.#ended > 0) {
      throw new CommandFailure(`The relay has ended ${this.#ended} connections.`);
    }
    if (lost > 0 || disordered > 0) {
      throw new CommandFailure("Not every message was received once and in order.");
    }
  }

  get #expected(): number {
    return this.#published * this.#flags.clients;
  }

  async #connect(client: number): Promise<void> {
    const id = await this.#relay.register(`${this.#name}-${client}`, [this.#topic]);
    const socket = this.#relay.connect(id);
    this.#sockets.push(socket);
    const opened = Promise.withResolvers<void>();
    socket.onopen = () => opened.resolve();
    socket.onmessage = ({ data }) => this.#arrivals.take(client, String(data));
    socket.onclose = ({ code, reason }) => {
      if (this.#isOver) return;
      this.#ended++;
      const why = `${code} ${sanitized(reason)}`.trim();
      opened.reject(
        new CommandFailure(`Client ${client + 1} could not connect, or not stay: ${why}.`),
      );
    };
    await opened.promise;
  }

  /** Whether the relay has taken it. Throws CommandFailure where it does not answer. */
  async #publish(sender: number, number: number, dueMs: number): Promise<boolean> {
    const message = messageOf(sender, number, dueMs, this.#flags.size);
    const sentAt = performance.now();
    try {
      await this.#relay.post("/publish", { topic: this.#topic, message });
      this.#published++;
      return true;
    } catch (error) {
      if (!(error instanceof CommandFailure) || error.exitCode !== EXIT.failed) throw error;
      if (this.#refused++ === 0) this.#refusal = error.message;
      return false;
    } finally {
      this.#answers.add(performance.now() - sentAt);
    }
  }

  #show(): void {
    const { received } = this.#arrivals;
    this.#progress.show(`${this.#published} published, ${received} received`, this.#published);
  }
}

function quantiles(durations: Durations) {
  return {
    p50: rounded(durations.quantileMs(0.5)),
    p99: rounded(durations.quantileMs(0.99)),
    max: rounded(durations.longestMs),
  };
}

function textOf({ p50, p99, max }: ReturnType<typeof quantiles>): string {
  return `p50 ${p50} ms, p99 ${p99} ms, at most ${max} ms`;
}

function rounded(value: number): number {
  return Number(value.toPrecision(3));
}
