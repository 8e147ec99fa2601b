// An engine whose calls are counted and timed, one by one; else it is the engine that it stands before.
import type {
  AfterRelease,
  Claimed,
  Engine,
  EngineEvents,
  Groups,
  HistoryPage,
  HistoryRange,
  PreviousOwner,
  Registration,
  Registrations,
} from "../relay/contracts/engine";
import type { Refusal } from "../relay/contracts/errors";
import type { Maybe } from "../relay/contracts/maybe";
import type { Publication, Published } from "../relay/contracts/publication";
import type { Queues, Records, RecordsOutcome, SourceRecord } from "../relay/contracts/store";
import { Histogram, SECONDS } from "../relay/contracts/tally";
import type { TopicRules } from "../relay/contracts/topic-rules";

/** What is counted of one kind of call. */
export class CallTally {
  /** How long the calls took that were answered, in seconds. What an engine answers at once took no time. */
  readonly durations = new Histogram(SECONDS);
  /** Calls that failed. A refusal is an answer. */
  errors = 0;

  /** Counts a call that was just made, when it is answered. */
  settle<Answer>(answer: Maybe<Answer>): Maybe<Answer> {
    if (answer instanceof Promise) {
      const begunAt = performance.now();
      answer.then(
        () => this.durations.observe((performance.now() - begunAt) / 1_000),
        () => {
          this.errors++;
        },
      );
    } else this.durations.observe(0);
    return answer;
  }
}

export class MeteredEngine implements Engine, Registrations {
  readonly #engine: Engine;
  readonly calls = {
    publish: new CallTally(),
    history: new CallTally(),
    forget: new CallTally(),
    send_to_nodes: new CallTally(),
    add_registration: new CallTally(),
    claim_registration: new CallTally(),
    own_registration: new CallTally(),
    remove_registration: new CallTally(),
    enter_group: new CallTally(),
    read_group: new CallTally(),
    publish_records: new CallTally(),
    write_store: new CallTally(),
    read_store: new CallTally(),
  };

  readonly groups: Groups;
  readonly records: Records;
  readonly queues: Queues;

  constructor(engine: Engine) {
    this.#engine = engine;
    const { groups, records, queues } = engine;
    this.groups = {
      enter: (group, member, membersMax) =>
        this.#call("enter_group", () => groups.enter(group, member, membersMax)),
      leave: (group, name) => groups.leave(group, name),
      state: (group) => this.#call("read_group", () => groups.state(group)),
      size: (group) => this.#call("read_group", () => groups.size(group)),
    };
    this.records = {
      put: (...put) => this.#call("write_store", () => records.put(...put)),
      get: (...name) => this.#call("read_store", () => records.get(...name)),
      list: (set) => this.#call("read_store", () => records.list(set)),
      remove: (...name) => this.#call("write_store", () => records.remove(...name)),
    };
    this.queues = {
      append: (...entries) => this.#call("write_store", () => queues.append(...entries)),
      first: (...range) => this.#call("read_store", () => queues.first(...range)),
      removeUpTo: (...upTo) => this.#call("write_store", () => queues.removeUpTo(...upTo)),
      size: (queue) => this.#call("read_store", () => queues.size(queue)),
    };
  }

  get registrations(): Registrations {
    return this;
  }

  get historyBytes(): number | undefined {
    return this.#engine.historyBytes;
  }

  get storeBytes(): number | undefined {
    return this.#engine.storeBytes;
  }

  start(events: EngineEvents): void | Promise<void> {
    return this.#engine.start(events);
  }

  /** Without the closure of `#call`, since it is on the way of every publication. */
  publish(publication: Publication, key?: string): Maybe<Published | Refusal> {
    const tally = this.calls.publish;
    try {
      return tally.settle(this.#engine.publish(publication, key));
    } catch (error) {
      tally.errors++;
      throw error;
    }
  }

  publishRecords(partition: string, records: readonly SourceRecord[]): Maybe<RecordsOutcome> {
    return this.#call("publish_records", () => this.#engine.publishRecords(partition, records));
  }

  positionOf(partition: string): Maybe<string | undefined> {
    return this.#call("read_store", () => this.#engine.positionOf(partition));
  }

  history(topic: string, range: HistoryRange): Maybe<HistoryPage> {
    return this.#call("history", () => this.#engine.history(topic, range));
  }

  forget(topic: string): Maybe<undefined> {
    return this.#call("forget", () => this.#engine.forget(topic));
  }

  follow(topic: string): void {
    this.#engine.follow(topic);
  }

  unfollow(topic: string): void {
    this.#engine.unfollow(topic);
  }

  sendToNodes(message: string, to?: string): Maybe<number> {
    return this.#call("send_to_nodes", () => this.#engine.sendToNodes(message, to));
  }

  rulesChanged(before: TopicRules): void {
    this.#engine.rulesChanged?.(before);
  }

  sweep(): void {
    this.#engine.sweep();
  }

  healthy(): boolean {
    return this.#engine.healthy();
  }

  close(): void | Promise<void> {
    return this.#engine.close();
  }

  get waiting(): number {
    return this.#engine.registrations.waiting;
  }

  add(registration: Registration): Maybe<undefined | Refusal> {
    return this.#call("add_registration", () => this.#engine.registrations.add(registration));
  }

  claim(id: string, address?: string): Maybe<Claimed | Refusal> {
    const { registrations } = this.#engine;
    return this.#call("claim_registration", () => registrations.claim(id, address));
  }

  own(id: string, user: string, address?: string): Maybe<undefined | Refusal> {
    const { registrations } = this.#engine;
    return this.#call("own_registration", () => registrations.own(id, user, address));
  }

  release(id: string, term: number, next: AfterRelease): void {
    this.#engine.registrations.release(id, term, next);
  }

  remove(id: string): Maybe<PreviousOwner | undefined> {
    return this.#call("remove_registration", () => this.#engine.registrations.remove(id));
  }

  #call<Answer>(name: keyof MeteredEngine["calls"], work: () => Maybe<Answer>): Maybe<Answer> {
    const tally = this.calls[name];
    try {
      return tally.settle(work());
    } catch (error) {
      tally.errors++;
      throw error;
    }
  }
}
