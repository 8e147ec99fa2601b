// A worker's engine when all workers share one: it forwards every call to the supervisor, where workers/engine-server.ts
// obeys it, and hands on what comes back. Everything goes over one pipe, so it stays in order.
import { HistoryReads } from "../engines/history-reads";
import { checkRecords, partsOf } from "../engines/source-records";
import {
  type Claimed,
  type Engine,
  type EngineEvents,
  EngineUnavailable,
  type Entered,
  type GroupState,
  type Groups,
  type HistoryPage,
  type HistoryRange,
  type PreviousOwner,
  type Registrations,
} from "../relay/contracts/engine";
import { Refusal } from "../relay/contracts/errors";
import type { Publication, Published } from "../relay/contracts/publication";
import type {
  NamedValue,
  QueueEntry,
  Queues,
  Records,
  RecordsOutcome,
  SourceRecord,
} from "../relay/contracts/store";
import {
  type EngineAnswer,
  type EngineCall,
  type EngineState,
  type FromEngine,
  SILENCE_MS,
  type ToEngine,
} from "./messages";

/** A call that the supervisor has not answered within this time fails. */
const CALL_TIMEOUT_MS = 5_000;

/**
 * Of how many publications to a topic the delivery count is kept while a publish to it awaits its answer: more than are
 * ever under way at once.
 */
const DELIVERY_COUNTS_MAX = 4_096;

/** What the histories that are being read may bring: the supervisor reads and writes these characters in a few ms. */
const READS_CHARACTERS_MAX = 1_048_576;

/** Records of a source that are more than this go to the supervisor in several calls. */
const RECORDS_CHARACTERS_MAX = 1_048_576;

interface EngineClientOptions {
  readonly send: (message: ToEngine) => void;
  /** Whether the supervisor has left so much unacknowledged that nothing more should be asked of it. */
  readonly isFull: () => boolean;
  /** Monotonic, in ms. */
  readonly now: () => number;
}

interface PendingCall {
  readonly call: EngineCall;
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
  readonly deadline: number;
}

/** Whether the call has succeeded. */
function isDone(answer: EngineAnswer): answer is Extract<EngineAnswer, { answer: unknown }> {
  return !("unavailable" in answer || "fault" in answer || "refused" in answer);
}

/** The publishes to one topic that await their answers. */
interface PendingPublishes {
  count: number;
  /** By offset: to how many connections of this worker a publication was delivered. */
  readonly delivered: Map<number | undefined, number>;
}

export class EngineClient implements Engine {
  readonly registrations: Registrations;
  readonly groups: Groups;
  readonly records: Records = {
    put: (...put) => this.#store<undefined | "full">({ do: "putRecord", put }),
    get: (set, name) => this.#store<string | undefined>({ do: "getRecord", set, name }),
    list: (set) => this.#store<readonly NamedValue[]>({ do: "listRecords", set }),
    remove: (set, name) => this.#store<boolean>({ do: "removeRecord", set, name }),
  };
  readonly queues: Queues = {
    append: (queue, entries, max) => this.#store<number>({ do: "append", queue, entries, max }),
    first: (queue, limit) => this.#store<readonly QueueEntry[]>({ do: "first", queue, limit }),
    removeUpTo: (queue, number) => this.#store<undefined>({ do: "removeUpTo", queue, number }),
    size: (queue) => this.#store<number>({ do: "queueSize", queue }),
  };
  readonly #options: EngineClientOptions;
  /** By number; the oldest come first. */
  readonly #calls = new Map<number, PendingCall>();
  /** Calls that have failed for want of an answer, but may yet make this worker the owner of a registration. */
  readonly #late = new Map<number, EngineCall>();
  readonly #reads = new HistoryReads(READS_CHARACTERS_MAX);
  /** By topic. */
  readonly #publishes = new Map<string, PendingPublishes>();
  #lastNumber = 0;
  #events: EngineEvents | undefined;
  #state: EngineState = { healthy: false, waiting: 0 };
  #receivedAt = 0;
  readonly #firstState = Promise.withResolvers<void>();

  constructor(options: EngineClientOptions) {
    this.#options = options;
    const client = this;
    this.registrations = {
      get waiting() {
        return client.#state.waiting;
      },
      add: (registration) => this.#call({ do: "add", registration }),
      claim: (id, address) =>
        this.#call<Claimed | Refusal>({ do: "claim", id, address: address || undefined }),
      own: (id, user, address) =>
        this.#call({ do: "own", id, user, address: address || undefined }),
      release: (...release) => options.send({ release }),
      remove: (id) => this.#call<PreviousOwner | undefined>({ do: "remove", id }),
    };
    this.groups = {
      enter: (group, member, membersMax) =>
        this.#call<Entered | "full">({ do: "enter", group, member, membersMax }),
      leave: (...leave) => options.send({ leave }),
      state: (group) => this.#call<GroupState>({ do: "groupState", group }),
      size: (group) => this.#call<number>({ do: "groupSize", group }),
    };
  }

  /** Resolves when the engine's state is known. */
  start(events: EngineEvents): Promise<void> {
    this.#events = events;
    return this.#firstState.promise;
  }

  /** `delivered` is counted here: the supervisor does not know to how many connections each worker sends. */
  async publish(publication: Publication, key?: string): Promise<Published | Refusal> {
    const { topic } = publication;
    const pending = this.#publishes.getOrInsertComputed(topic, () => ({
      count: 0,
      delivered: new Map(),
    }));
    pending.count++;
    try {
      const answer = await this.#call<Published | Refusal>({ do: "publish", publication, key });
      if (answer instanceof Refusal) return answer;
      const delivered = pending.delivered.get(answer.offset) ?? 0;
      return { ...answer, delivered, scope: "node" };
    } finally {
      pending.count--;
      if (pending.count === 0) this.#publishes.delete(topic);
    }
  }

  /** One call after the other: what a later one publishes would make an earlier one count as published. */
  async publishRecords(
    partition: string,
    records: readonly SourceRecord[],
  ): Promise<RecordsOutcome> {
    checkRecords(records);
    let published = 0;
    for (const part of partsOf(records, RECORDS_CHARACTERS_MAX)) {
      const call = { do: "publishRecords", partition, records: part } as const;
      published += (await this.#store<RecordsOutcome>(call)).published;
    }
    return { published, repeated: records.length - published };
  }

  positionOf(partition: string): Promise<string | undefined> {
    return this.#store<string | undefined>({ do: "positionOf", partition });
  }

  history(topic: string, range: HistoryRange): Promise<HistoryPage> {
    return this.#reads.run(range.size, () =>
      this.#call<HistoryPage>({ do: "history", topic, range }),
    );
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
    return this.#call<number>({ do: "sendToNodes", message });
  }

  /** Takes in a message of the supervisor. */
  receive(message: FromEngine): void {
    this.#receivedAt = this.#options.now();
    if ("deliver" in message) this.#deliver(message.deliver);
    else if ("state" in message) this.#learn(message.state);
    else if ("historyReset" in message) this.#events?.historyReset(message.historyReset);
    else if ("nodeMessage" in message) this.#events?.messageReceived(message.nodeMessage);
    else if ("groupChanged" in message) this.#events?.groupChanged(message.groupChanged);
    else this.#settle(message);
  }

  /** Fails the calls that have waited too long. */
  sweep(): void {
    const now = this.#options.now();
    for (const [number, { call, deadline, reject }] of this.#calls) {
      // All calls have the same timeout, so once one is not due, those after it are not due either.
      if (deadline > now) return;
      this.#calls.delete(number);
      if (call.do === "claim" || call.do === "own") this.#late.set(number, call);
      reject(new EngineUnavailable("the supervisor does not answer"));
    }
  }

  healthy(): boolean {
    const isSilent = this.#options.now() - this.#receivedAt > SILENCE_MS;
    return this.#events !== undefined && this.#state.healthy && !isSilent;
  }

  /** From now on every call fails, and those that await an answer fail at once. */
  close(): void {
    this.#events = undefined;
    this.#firstState.resolve();
    for (const { reject } of this.#calls.values()) {
      reject(new EngineUnavailable("the connection to the supervisor is closed"));
    }
    this.#calls.clear();
    this.#late.clear();
  }

  /** A supervisor of an older version would answer that nothing went wrong. */
  #store<Answer>(call: EngineCall): Promise<Answer> {
    if (this.#events === undefined || this.#state.hasStore) return this.#call<Answer>(call);
    return Promise.reject(
      new EngineUnavailable("the supervisor is of an older version: restart the relay as a whole"),
    );
  }

  #call<Answer>(call: EngineCall): Promise<Answer> {
    if (this.#events === undefined) {
      return Promise.reject(new EngineUnavailable("the engine has not been started"));
    }
    if (this.#options.isFull()) {
      return Promise.reject(new EngineUnavailable("the supervisor does not keep up"));
    }
    const number = ++this.#lastNumber;
    const deadline = this.#options.now() + CALL_TIMEOUT_MS;
    const answer = new Promise<Answer>((resolve, reject) => {
      this.#calls.set(number, { call, resolve, reject, deadline });
    });
    this.#options.send({ call, number });
    return answer;
  }

  #learn(state: EngineState): void {
    this.#state = state;
    this.#firstState.resolve();
  }

  #settle(answer: EngineAnswer): void {
    const { number } = answer;
    const call = this.#calls.get(number);
    if (call === undefined) {
      const late = this.#late.get(number);
      this.#late.delete(number);
      if (late !== undefined && isDone(answer)) this.#takeBack(late, answer.answer);
      return;
    }
    this.#calls.delete(number);
    if ("unavailable" in answer) call.reject(new EngineUnavailable(answer.unavailable));
    else if ("fault" in answer) call.reject(new Error(answer.fault));
    else if ("refused" in answer) {
      call.resolve(new Refusal(answer.refused.code, answer.refused.message) as never);
    } else call.resolve(answer.answer as never);
  }

  /** The supervisor has done what nobody here waits for any more: this worker owns what no connection of it has. */
  #takeBack(late: EngineCall, answer: unknown): void {
    const { send } = this.#options;
    if (late.do === "claim") {
      const { id, term } = answer as Claimed;
      // A connection that its client wanted to replace does not own it any more.
      this.#events?.registrationRevoked(id, term);
      send({ release: [id, term, "wait"] });
    } else if (late.do === "own" && !this.#isOwning(late.id))
      send({ release: [late.id, 0, "end"] });
  }

  /** Whether the supervisor has been asked again, and has not answered. */
  #isOwning(id: string): boolean {
    const asked = [...this.#calls.values().map(({ call }) => call), ...this.#late.values()];
    return asked.some((call) => call.do === "own" && call.id === id);
  }

  #deliver(publication: Publication): void {
    const delivered = this.#events?.deliver(publication) ?? 0;
    const counts = this.#publishes.get(publication.topic)?.delivered;
    if (counts === undefined) return;
    counts.set(publication.offset, delivered);
    if (counts.size > DELIVERY_COUNTS_MAX) counts.delete(counts.keys().next().value);
  }
}
