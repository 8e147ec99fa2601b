// The engine of a worker: it lives in the supervisor, and everything goes over their channel, in order.
import {
  type Claimed,
  type Engine,
  type EngineEvents,
  EngineUnavailable,
  type HistoryPage,
  type HistoryRange,
  type PreviousOwner,
  type Registrations,
} from "../relay/contracts/engine";
import { Refusal } from "../relay/contracts/errors";
import type { Publication, Published } from "../relay/contracts/publication";
import type { Call, FromServer, FromWorker, State } from "./messages";

/** How long a supervisor may take for an answer: it has other workers to serve, but no more than that to do. */
const PATIENCE_MS = 5_000;

/** Publications of a topic whose counts are kept while an answer is awaited: more than are under way at once. */
const COUNTS_MAX = 4_096;

/** A supervisor that has said nothing for so long is out of reach: it tells its state every second. */
const SILENCE_MS = 5_000;

export interface EngineClientOptions {
  readonly send: (message: FromWorker) => void;
  /** Whether the supervisor has left so much unread that nothing more should be asked of it. */
  readonly isFull: () => boolean;
  /** Monotonic, in ms. */
  readonly now: () => number;
}

interface Pending {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
  readonly deadline: number;
}

/** Publishes under way in a topic, and to how many connections here its latest publications went. */
interface Publishing {
  count: number;
  readonly delivered: Map<number | undefined, number>;
}

export class EngineClient implements Engine {
  readonly name = "remote";
  readonly registrations: Registrations;
  readonly #options: EngineClientOptions;
  readonly #pending = new Map<number, Pending>();
  readonly #publishing = new Map<string, Publishing>();
  #number = 0;
  #events: EngineEvents | undefined;
  #state: State = { healthy: false, waiting: 0 };
  #heardAt = 0;

  constructor(options: EngineClientOptions) {
    this.#options = options;
    const remote = this;
    this.registrations = {
      get waiting() {
        return remote.#state.waiting;
      },
      add: (registration) => this.#call({ do: "add", registration }),
      claim: (id) => this.#call<Claimed | Refusal>({ do: "claim", id }),
      own: (id, user) => this.#call({ do: "hold", id, user }),
      release: (...release) => options.send({ release }),
      remove: (id) => this.#call<PreviousOwner | undefined>({ do: "remove", id }),
    };
  }

  start(events: EngineEvents): void {
    this.#events = events;
  }

  async publish(publication: Publication, key?: string): Promise<Published | Refusal> {
    const { topic } = publication;
    const publishing = this.#publishing.get(topic) ?? { count: 0, delivered: new Map() };
    this.#publishing.set(topic, publishing);
    publishing.count++;
    try {
      const answer = await this.#call<Published | Refusal>({ do: "publish", publication, key });
      if (answer instanceof Refusal) return answer;
      const delivered = publishing.delivered.get(answer.offset) ?? 0;
      return { ...answer, delivered, scope: "node" };
    } finally {
      publishing.count--;
      if (publishing.count === 0) this.#publishing.delete(topic);
    }
  }

  history(topic: string, range: HistoryRange): Promise<HistoryPage> {
    return this.#call<HistoryPage>({ do: "history", topic, range });
  }

  forget(topic: string): Promise<undefined> {
    return this.#call<undefined>({ do: "forget", topic });
  }

  follow(topic: string): void {
    this.#options.send({ follow: topic });
  }

  unfollow(topic: string): void {
    this.#options.send({ unfollow: topic });
  }

  sendToNodes(message: string): Promise<number> {
    return this.#call<number>({ do: "tell", message });
  }

  /** A message of the supervisor. */
  heard(message: FromServer): void {
    this.#heardAt = this.#options.now();
    if ("deliver" in message) this.#deliver(message.deliver);
    else if ("state" in message) this.#state = message.state;
    else if ("lost" in message) this.#events?.historyReset(message.lost);
    else if ("heard" in message) this.#events?.messageReceived(message.heard);
    else this.#answered(message);
  }

  sweep(): void {
    const now = this.#options.now();
    // They are in the order of their deadlines.
    for (const [number, { deadline, reject }] of this.#pending) {
      if (deadline > now) return;
      this.#pending.delete(number);
      reject(new EngineUnavailable("the supervisor does not answer"));
    }
  }

  healthy(): boolean {
    const isSilent = this.#options.now() - this.#heardAt > SILENCE_MS;
    return this.#events !== undefined && this.#state.healthy && !isSilent;
  }

  /** The supervisor cannot be reached any more, or shall not be. */
  close(): void {
    this.#events = undefined;
    for (const { reject } of this.#pending.values()) reject(new EngineUnavailable("closed"));
    this.#pending.clear();
  }

  #call<Answer>(call: Call): Promise<Answer> {
    if (this.#events === undefined) return Promise.reject(new EngineUnavailable("not started"));
    if (this.#options.isFull()) {
      return Promise.reject(new EngineUnavailable("the supervisor does not keep up"));
    }
    const number = ++this.#number;
    const deadline = this.#options.now() + PATIENCE_MS;
    const answer = new Promise<Answer>((resolve, reject) => {
      this.#pending.set(number, { resolve, reject, deadline });
    });
    this.#options.send({ call, number });
    return answer;
  }

  #answered(message: Extract<FromServer, { number: number }>): void {
    const pending = this.#pending.get(message.number);
    if (pending === undefined) return;
    this.#pending.delete(message.number);
    if ("unavailable" in message) pending.reject(new EngineUnavailable(message.unavailable));
    else if ("fault" in message) pending.reject(new Error(message.fault));
    else if ("refused" in message) {
      pending.resolve(new Refusal(message.refused.code, message.refused.message) as never);
    } else pending.resolve(message.answer as never);
  }

  #deliver(publication: Publication): void {
    const delivered = this.#events?.deliver(publication) ?? 0;
    const counts = this.#publishing.get(publication.topic)?.delivered;
    if (counts === undefined) return;
    counts.set(publication.offset, delivered);
    if (counts.size > COUNTS_MAX) counts.delete(counts.keys().next().value);
  }
}
