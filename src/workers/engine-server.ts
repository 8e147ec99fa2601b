// The supervisor's side of an engine that its workers share: obeys their calls in the order in which they come, and
// sends each publication to those workers that follow its topic.
import {
  type EngineEvents,
  EngineUnavailable,
  type LocalEngine,
  type Registrations,
} from "../relay/contracts/engine";
import { Refusal } from "../relay/contracts/errors";
import type { Call, FromServer, FromWorker, State } from "./messages";
import type { Pipe } from "./pipe";

/** A worker, as the hub sees it. */
export class WorkerLink {
  readonly name: string;
  readonly channel: Pipe;
  readonly registrations: Registrations;
  readonly topics = new Set<string>();

  constructor(name: string, channel: Pipe, engine: LocalEngine) {
    this.name = name;
    this.channel = channel;
    this.registrations = engine.registrationsOf(name);
  }

  send(message: FromServer): void {
    this.channel.push(message);
  }
}

/** Characters that a follower of a topic may have unread while publishers to it are answered: about a second's worth. */
const BEHIND = 4_194_304;

/** An answer to a publisher that waits for a follower of the topic. */
interface Late {
  readonly topic: string;
  readonly answer: () => void;
}

export class EngineServer {
  readonly #engine: LocalEngine;
  #late: Late[] = [];
  readonly #members = new Set<WorkerLink>();
  readonly #followers = new Map<string, Set<WorkerLink>>();

  constructor(engine: LocalEngine) {
    this.#engine = engine;
  }

  /** What the engine calls. */
  readonly events: EngineEvents = {
    deliver: (publication) => {
      this.#toFollowers(publication.topic, { deliver: publication }, true);
      // Each worker counts its own.
      return 0;
    },
    historyReset: (topic) => this.#toFollowers(topic, { lost: topic }),
    // It hears itself of whatever happens to registrations.
    registrationRevoked: () => {},
    messageReceived: (message) => {
      for (const member of this.#members) member.send({ heard: message });
    },
  };

  join(member: WorkerLink): void {
    this.#members.add(member);
    member.send({ state: this.#state() });
  }

  /** A worker has ended: what it held waits for its clients again. */
  leave(member: WorkerLink): void {
    if (!this.#members.delete(member)) return;
    for (const topic of member.topics) this.#unfollow(member, topic);
    this.#engine.releaseAll(member.name);
    this.caughtUp();
  }

  /** A worker has read some of what it was sent: publishers that waited for it may be answered. */
  caughtUp(): void {
    if (this.#late.length === 0) return;
    const late = this.#late;
    this.#late = [];
    for (const one of late) {
      if (this.#isBehind(one.topic)) this.#late.push(one);
      else one.answer();
    }
  }

  /** To be called about once a second. */
  sweep(): void {
    this.#engine.sweep();
    const state = JSON.stringify({ state: this.#state() } satisfies FromServer);
    for (const { channel } of this.#members) channel.pushText(state);
  }

  /** A message of a worker. */
  heard(member: WorkerLink, message: FromWorker): void {
    if (!this.#members.has(member)) return;
    if ("follow" in message) {
      this.#follow(member, message.follow);
    } else if ("unfollow" in message) {
      member.topics.delete(message.unfollow);
      this.#unfollow(member, message.unfollow);
    } else if ("release" in message) {
      member.registrations.release(...message.release);
    } else this.#call(member, message.number, message.call);
  }

  #call(member: WorkerLink, number: number, call: Call): void {
    const answer = (value: unknown) => {
      if (value instanceof Refusal) {
        member.send({ number, refused: { code: value.code, message: value.message } });
      } else member.send({ number, answer: value });
    };
    const failed = (error: unknown) => {
      const { message } = error as Error;
      if (error instanceof EngineUnavailable) {
        member.send({ number, unavailable: message });
        return;
      }
      member.send({ number, fault: `the supervisor's engine: ${message}` });
      throw error;
    };
    try {
      const value = this.#do(member, call);
      if (value instanceof Promise) value.then(answer).catch(failed);
      else answer(value);
    } catch (error) {
      failed(error);
    }
  }

  #do(member: WorkerLink, call: Call): unknown {
    const engine = this.#engine;
    const { registrations } = member;
    switch (call.do) {
      case "publish":
        return this.#publish(call);
      case "history":
        return engine.history(call.topic, call.range);
      case "forget":
        return engine.forget(call.topic);
      case "tell":
        for (const other of this.#members) {
          if (other !== member) other.send({ heard: call.message });
        }
        return this.#members.size - 1;
      case "add":
        return registrations.add(call.registration);
      case "claim":
        return registrations.claim(call.id);
      case "hold":
        return registrations.own(call.id, call.user);
      case "remove":
        return registrations.remove(call.id);
    }
  }

  /** Published at once, but answered when no follower is far behind: so publishers are no faster than the slowest. */
  #publish({ publication, key }: Extract<Call, { do: "publish" }>): unknown {
    const published = this.#engine.publish(publication, key);
    const inTime = (answer: unknown) => {
      const { topic } = publication;
      if (!this.#isBehind(topic)) return answer;
      const { promise, resolve } = Promise.withResolvers<unknown>();
      this.#late.push({ topic, answer: () => resolve(answer) });
      return promise;
    };
    return published instanceof Promise ? published.then(inTime) : inTime(published);
  }

  #isBehind(topic: string): boolean {
    const followers = this.#followers.get(topic);
    if (followers === undefined) return false;
    for (const { channel } of followers) if (channel.unreadSize > BEHIND) return true;
    return false;
  }

  #follow(member: WorkerLink, topic: string): void {
    member.topics.add(topic);
    const followers = this.#followers.get(topic);
    if (followers === undefined) this.#followers.set(topic, new Set([member]));
    else followers.add(member);
  }

  #unfollow(member: WorkerLink, topic: string): void {
    const followers = this.#followers.get(topic);
    followers?.delete(member);
    if (followers?.size === 0) this.#followers.delete(topic);
  }

  #toFollowers(topic: string, message: FromServer, isPublication = false): void {
    const followers = this.#followers.get(topic);
    if (followers === undefined) return;
    const text = JSON.stringify(message);
    for (const { channel } of followers) channel.pushText(text, isPublication);
  }

  #state(): State {
    return { healthy: this.#engine.healthy(), waiting: this.#engine.registrations.waiting };
  }
}
