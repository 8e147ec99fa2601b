// The supervisor's end of the engine that its workers share: it obeys the calls of each worker in the order in which they
// come, and sends each publication to those workers that follow its topic. workers/engine-client.ts is the other end.
import {
  type EngineEvents,
  EngineUnavailable,
  type Groups,
  type LocalEngine,
  type Registrations,
} from "../relay/contracts/engine";
import { Refusal } from "../relay/contracts/errors";
import { type Maybe, then } from "../relay/contracts/maybe";
import type { Publication } from "../relay/contracts/publication";
import type { EngineCall, EngineState, FromEngine, StoreCall, ToEngine } from "./messages";
import type { Pipe } from "./pipe";

/**
 * How many characters a worker may leave unacknowledged before publishers to the topics that it follows have to wait for
 * their answers: about a second's worth.
 */
const LAG_MAX = 4_194_304;

/** One worker, as the engine's server sees it. */
export class WorkerLink {
  readonly name: string;
  readonly pipe: Pipe;
  readonly registrations: Registrations;
  readonly groups: Groups;
  readonly topics = new Set<string>();

  constructor(name: string, pipe: Pipe, engine: LocalEngine) {
    this.name = name;
    this.pipe = pipe;
    this.registrations = engine.registrationsOf(name);
    this.groups = engine.groupsOf(name, {
      groupChanged: (change) => this.send({ groupChanged: change }),
    });
  }

  send(message: FromEngine): void {
    this.pipe.push(message);
  }
}

/** A reply to a publish that waits until the followers of the topic have caught up. */
interface DelayedReply {
  readonly topic: string;
  readonly send: () => void;
}

export class EngineServer {
  readonly #engine: LocalEngine;
  readonly #workers = new Set<WorkerLink>();
  /** By topic. */
  readonly #followers = new Map<string, Set<WorkerLink>>();
  #delayed: DelayedReply[] = [];

  /** `engine` must be started with this server's `events`. */
  constructor(engine: LocalEngine) {
    this.#engine = engine;
  }

  /** What the engine calls. */
  readonly events: EngineEvents = {
    deliver: (publication) => {
      const followers = this.#followers.get(publication.topic);
      if (followers !== undefined) {
        const text = JSON.stringify({ deliver: publication } satisfies FromEngine);
        for (const { pipe } of followers) pipe.pushText(text);
      }
      // Each worker counts its own deliveries.
      return 0;
    },
    historyReset: (topic) => {
      for (const worker of this.#followers.get(topic) ?? []) worker.send({ historyReset: topic });
    },
    // A shared engine never calls this: workers notify each other of what happens to registrations (sendToNodes).
    registrationRevoked: () => {},
    messageReceived: (message) => {
      for (const worker of this.#workers) worker.send({ nodeMessage: message });
    },
    // The supervisor has no members of its own, and a shared engine misses no change.
    groupChanged: () => {},
    groupsUnsure: () => {},
  };

  /** Serves a worker over this pipe until `disconnect`. */
  connect(name: string, pipe: Pipe): WorkerLink {
    const worker = new WorkerLink(name, pipe, this.#engine);
    this.#workers.add(worker);
    worker.send({ state: this.#state() });
    return worker;
  }

  /** The worker has ended: the registrations that it owned wait for their clients again, and its members leave. */
  disconnect(worker: WorkerLink): void {
    if (!this.#workers.delete(worker)) return;
    for (const topic of worker.topics) this.#unfollow(worker, topic);
    this.#engine.releaseAll(worker.name);
    this.onProgress();
  }

  /** A worker has acknowledged something, so replies that waited for it may be sent. */
  onProgress(): void {
    if (this.#delayed.length === 0) return;
    const delayed = this.#delayed;
    this.#delayed = [];
    for (const reply of delayed) {
      if (this.#isLagging(reply.topic)) this.#delayed.push(reply);
      else reply.send();
    }
  }

  /** To be called about once a second: sweeps the engine, and sends its state to every worker. */
  sweep(): void {
    this.#engine.sweep();
    const state = JSON.stringify({ state: this.#state() } satisfies FromEngine);
    for (const { pipe } of this.#workers) pipe.pushText(state);
  }

  /** Takes in a message of a worker. */
  receive(worker: WorkerLink, message: ToEngine): void {
    if (!this.#workers.has(worker)) return;
    if ("follow" in message) {
      this.#follow(worker, message.follow);
    } else if ("unfollow" in message) {
      worker.topics.delete(message.unfollow);
      this.#unfollow(worker, message.unfollow);
    } else if ("release" in message) {
      worker.registrations.release(...message.release);
    } else if ("leave" in message) {
      worker.groups.leave(...message.leave);
    } else this.#answer(worker, message.number, message.call);
  }

  #answer(worker: WorkerLink, number: number, call: EngineCall): void {
    const reply = (value: unknown) => {
      if (value instanceof Refusal) {
        worker.send({ number, refused: { code: value.code, message: value.message } });
      } else worker.send({ number, answer: value });
    };
    const failed = (error: unknown) => {
      const { message } = error as Error;
      if (error instanceof EngineUnavailable) {
        worker.send({ number, unavailable: message });
        return;
      }
      worker.send({ number, fault: `the supervisor's engine has failed: ${message}` });
      throw error;
    };
    try {
      const replied = then(this.#perform(worker, call), reply);
      if (replied instanceof Promise) replied.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  #perform(worker: WorkerLink, call: EngineCall): Maybe<unknown> {
    const engine = this.#engine;
    const { registrations, groups } = worker;
    switch (call.do) {
      case "publish":
        return this.#whenCaughtUp([call.publication], engine.publish(call.publication, call.key));
      case "publishRecords":
        return this.#whenCaughtUp(
          call.records.map(({ publication }) => publication),
          engine.publishRecords(call.partition, call.records),
        );
      case "positionOf":
        return engine.positionOf(call.partition);
      case "history":
        return engine.history(call.topic, call.range);
      case "forget":
        return engine.forget(call.topic);
      case "sendToNodes":
        for (const other of this.#workers) {
          if (other !== worker) other.send({ nodeMessage: call.message });
        }
        return this.#workers.size - 1;
      case "add":
        return registrations.add(call.registration);
      case "claim":
        return registrations.claim(call.id, call.address);
      case "own":
        return registrations.own(call.id, call.user, call.address);
      case "remove":
        return registrations.remove(call.id);
      case "enter":
        return groups.enter(call.group, call.member, call.membersMax);
      case "groupState":
        return groups.state(call.group);
      case "groupSize":
        return groups.size(call.group);
      default:
        return this.#performOnStore(call);
    }
  }

  #performOnStore(call: StoreCall): Maybe<unknown> {
    const { records, queues } = this.#engine;
    switch (call.do) {
      case "putRecord":
        return records.put(...call.put);
      case "getRecord":
        return records.get(call.set, call.name);
      case "listRecords":
        return records.list(call.set);
      case "removeRecord":
        return records.remove(call.set, call.name);
      case "append":
        return queues.append(call.queue, call.entries, call.max);
      case "first":
        return queues.first(call.queue, call.limit);
      case "removeUpTo":
        return queues.removeUpTo(call.queue, call.number);
      case "queueSize":
        return queues.size(call.queue);
    }
  }

  /**
   * They are published at once, but answered only when no follower of their topics lags far behind, so that publishers are no faster
   * than the slowest.
   */
  #whenCaughtUp(publications: readonly Publication[], published: Maybe<unknown>): Maybe<unknown> {
    return then(published, (answer) => {
      const lagging = publications.find(({ topic }) => this.#isLagging(topic));
      if (lagging === undefined) return answer;
      const { promise, resolve } = Promise.withResolvers<unknown>();
      this.#delayed.push({ topic: lagging.topic, send: () => resolve(answer) });
      return promise;
    });
  }

  #isLagging(topic: string): boolean {
    const followers = this.#followers.get(topic);
    if (followers === undefined) return false;
    for (const { pipe } of followers) if (pipe.unacknowledgedSize > LAG_MAX) return true;
    return false;
  }

  #follow(worker: WorkerLink, topic: string): void {
    worker.topics.add(topic);
    this.#followers.getOrInsertComputed(topic, () => new Set()).add(worker);
  }

  #unfollow(worker: WorkerLink, topic: string): void {
    const followers = this.#followers.get(topic);
    followers?.delete(worker);
    if (followers?.size === 0) this.#followers.delete(topic);
  }

  #state(): EngineState {
    const { waiting } = this.#engine.registrations;
    return { healthy: this.#engine.healthy(), waiting, hasStore: true };
  }
}
