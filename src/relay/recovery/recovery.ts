// Brings connections into topics without a gap or a duplicate: what was missed, then live.
// A connection follows the topic first, then history is read; in ONE synchronous step it gets that page, then what
// the topic's tail has beyond it, and is subscribed natively. Never a part: what cannot be whole is refused.

import type { SubscribeResult } from "../contracts/commands";
import type { Engine, HistoryPage } from "../contracts/engine";
import { type CloseName, engineUnavailable } from "../contracts/errors";
import type { Position, Publication } from "../contracts/publication";
import type { Connection } from "../state/connection";
import { already, type Entrance, outset, type Progress } from "../state/subscription";
import type { Topic } from "../state/topic";
import type { Topics } from "../topics/topics";
import { CatchUp, PAGE } from "./catch-up";
import { Holding } from "./deferred";
import { Reading, type Since } from "./history-reader";
import { Carrying } from "./reply-budget";

export interface RecoveryOptions {
  readonly engine: Engine;
  readonly topics: Topics;
  /** What may wait for one connection; a quarter of it is used to send what was missed. */
  readonly backpressureBytes: number;
  readonly now: () => number;
  /** Does the work in another turn of the loop. */
  readonly later: (work: () => void) => void;
  /** Does the work after so many ms. */
  readonly after: (ms: number, work: () => void) => () => void;
  /** False when the connection has ended. */
  readonly send: (connection: Connection, frame: string) => boolean;
  readonly end: (connection: Connection, why: CloseName) => void;
}

/** How connections are brought into topics. */
export interface Entry {
  /** All other topics are left. */
  readonly only: boolean;
  /** What was missed goes into the reply as far as there is room, instead of after it. */
  readonly carries: boolean;
  /** The frame that says what became of the topics; undefined: nothing shall. */
  reply(entered: readonly SubscribeResult[]): string | undefined;
  /** The frame that says that the engine is out of reach. */
  failed(): string;
}

/** A page for those who missed nothing, or get nothing of it. */
const NOTHING: HistoryPage = { top: undefined, publications: [] };

export class Recovery {
  readonly #options: RecoveryOptions;
  readonly #topics: Topics;
  readonly #reading: Reading;
  readonly #lost = new Set<Topic>();
  /** Those on their way in. */
  readonly catchUp: CatchUp;
  /** First topics that wait for the client's first command. */
  readonly holding: Holding;

  constructor(options: RecoveryOptions) {
    this.#options = options;
    this.#topics = options.topics;
    this.#reading = new Reading({
      goOn: (connection, names, since) => this.choose(connection, names, since),
      end: options.end,
    });
    this.catchUp = new CatchUp({ ...options, reading: this.#reading });
    this.holding = new Holding({
      ...options,
      letIn: (connection, progress, entrance) =>
        this.catchUp.finish(connection, progress, entrance),
    });
  }

  /**
   * Makes `names` the topics of an open connection, with the reply of its protocol, after it what was missed
   * since the positions in `since`, then live. Cost: its topics, and what it missed.
   */
  choose(connection: Connection, names: ReadonlySet<string>, since: Since): void {
    const { progress, protocol } = connection;
    if (progress === undefined) {
      this.#topics.replace(connection, names);
      return;
    }
    if (this.#reading.queues(connection, progress, names, since)) return;
    this.enter(connection, progress, [...names], since, {
      only: true,
      carries: false,
      reply: (entered) => protocol.encodeSubscribed?.(entered) ?? "",
      failed: () => protocol.encodeError(engineUnavailable()),
    });
  }

  /** Brings a connection into topics, each once in `names`; the promise is of its reply, if that must wait. */
  enter(
    connection: Connection,
    progress: Progress,
    names: readonly string[],
    since: Since,
    entry: Entry,
  ): Promise<void> | undefined {
    const began: Entrance[] = [];
    for (const name of names) {
      if (connection.topics.some((topic) => topic.name === name)) continue;
      if (progress.entrances.some(({ topic }) => topic.name === name)) continue;
      began.push(this.#begin(progress, name, false));
    }
    const reads = () =>
      names.map((name) => {
        const position = since.get(name);
        const behind = position !== undefined && this.#isNew(progress, name);
        const range = behind ? { since: position.offset, limit: PAGE } : { limit: 0 };
        return this.#options.engine.history(name, range);
      });
    return this.#reading.read(connection, progress, reads, (pages) => {
      if (pages !== undefined) {
        this.#decide(connection, progress, names, since, pages, entry);
        return;
      }
      for (const entrance of began) this.catchUp.abandon(progress, entrance);
      this.#failed(connection, progress, entry);
    });
  }

  /**
   * The client is told, and may ask again. But a stream cannot ask, and a socket that has nothing would wait for ever: both
   * are ended, and come back.
   */
  #failed(connection: Connection, progress: Progress, entry: Entry): void {
    const { protocol, session, topics } = connection;
    const isStream = session === undefined && protocol.transport === "stream";
    if (!isStream && !this.#options.send(connection, entry.failed())) return;
    const hasSome = topics.length > 0 || progress.entrances.some(({ begun }) => begun);
    if (session === undefined && !hasSome) this.#options.end(connection, "position_lost");
  }

  /** Takes a connection out of a topic; false when it was neither in it nor on the way. */
  leave(connection: Connection, progress: Progress, name: string): boolean {
    const entrance = progress.entrances.find(({ topic }) => topic.name === name);
    const topic = connection.topics.find((other) => other.name === name);
    if (entrance !== undefined) this.catchUp.abandon(progress, entrance);
    if (topic !== undefined) {
      this.#topics.leave(connection, topic);
      progress.entered.delete(topic);
    }
    return entrance !== undefined || topic !== undefined;
  }

  /** Follows the first topics of a socket, to be let in by its first command or by `release`. */
  hold(connection: Connection, progress: Progress, names: ReadonlySet<string>): void {
    const entrances = [...names].map((name) => this.#begin(progress, name, true));
    const reads = () =>
      entrances.map(({ topic }) => this.#options.engine.history(topic.name, { limit: 0 }));
    this.#reading.read(connection, progress, reads, (pages) => {
      for (const [i, entrance] of entrances.entries()) {
        entrance.from = pages?.[i]?.top;
        entrance.sent = entrance.from?.offset ?? 0;
      }
    });
    if (names.size > 0) this.holding.add(connection);
  }

  /** Records a publication for those who follow its topic; to be called before it is sent to subscribers. */
  record(topic: Topic, publication: Publication): void {
    if (!topic.tail.fits(publication)) {
      this.holding.releaseInto(topic);
      topic.tail.lose();
    }
    if (topic.followers > 0) topic.tail.push(publication);
  }

  /**
   * What came since in a topic is lost. Those in it that know positions are ended: they come back with theirs, and are
   * told what became of it. Cost: all connections, at most once in a turn of the loop.
   */
  lost(name: string, connections: () => Iterable<Connection>): void {
    const topic = this.#topics.get(name);
    if (topic === undefined) return;
    topic.forgetPosition();
    topic.tail.lose();
    if (this.#lost.size === 0) {
      this.#options.later(() => {
        const lost = new Set(this.#lost);
        this.#lost.clear();
        for (const connection of [...connections()]) {
          const { progress, topics } = connection;
          const has = (other: Topic) => lost.has(other);
          if (progress === undefined) continue;
          if (!topics.some(has) && !progress.entrances.some((entrance) => has(entrance.topic))) {
            continue;
          }
          this.#options.end(connection, "position_lost");
        }
      });
    }
    this.#lost.add(topic);
  }

  /** The connection has ended. */
  forget(connection: Connection): void {
    const { progress } = connection;
    if (progress === undefined) return;
    connection.progress = undefined;
    this.holding.delete(connection);
    for (const { topic } of progress.entrances) this.#topics.unfollow(topic);
  }

  #begin(progress: Progress, name: string, held: boolean): Entrance {
    const topic = this.#topics.follow(name);
    const entrance = {
      topic,
      from: undefined,
      sent: 0,
      mark: topic.tail.publications.length,
      losses: topic.tail.losses,
      begun: false,
      held,
      reading: false,
    };
    progress.entrances.push(entrance);
    return entrance;
  }

  /** Whether the connection has got nothing of this topic yet. */
  #isNew(progress: Progress, name: string): boolean {
    const entrance = progress.entrances.find(({ topic }) => topic.name === name);
    return entrance !== undefined && !entrance.begun;
  }

  /** The synchronous step: all pages are read. Says what becomes of each topic, then does it. */
  #decide(
    connection: Connection,
    progress: Progress,
    names: readonly string[],
    since: Since,
    pages: readonly HistoryPage[],
    entry: Entry,
  ): void {
    this.holding.delete(connection);
    const entered: SubscribeResult[] = [];
    const ways: [Entrance, HistoryPage][] = [];
    const carrying = new Carrying(entry.carries ? this.#options.backpressureBytes / 4 : 0);
    for (const [i, name] of names.entries()) {
      const page = pages[i] as HistoryPage;
      const given = since.get(name);
      const entrance = progress.entrances.find(({ topic }) => topic.name === name);
      if (entrance !== undefined && !entrance.begun) {
        const found = outset(entrance, page, given);
        const owed = found.recovered === true ? page : NOTHING;
        const missed = carrying.take(connection, entrance, owed.publications);
        entered.push(missed.length === 0 ? found : { ...found, missed });
        ways.push([entrance, owed]);
      } else {
        entered.push(this.#already(progress, name, entrance, page, given));
      }
    }
    const reply = entry.reply(entered);
    if (reply === undefined) {
      for (const [entrance] of ways) this.catchUp.abandon(progress, entrance);
      return;
    }
    if (entry.only) {
      const has = [...progress.entrances, ...connection.topics.map((topic) => ({ topic }))];
      for (const { topic } of has) {
        if (!names.includes(topic.name)) this.leave(connection, progress, topic.name);
      }
    }
    if (!this.#options.send(connection, reply)) return;
    for (const [entrance, page] of ways) {
      if (connection.progress === progress) this.catchUp.step(connection, progress, entrance, page);
    }
  }

  /** For a topic that it has: the page may be older than what was delivered to it since. */
  #already(
    progress: Progress,
    name: string,
    entrance: Entrance | undefined,
    page: HistoryPage,
    given: Position | undefined,
  ): SubscribeResult {
    const topic = this.#topics.get(name);
    const top = topic?.position ?? page.top;
    if (entrance !== undefined) {
      const at = entrance.from && { ...entrance.from, offset: entrance.sent };
      return already(name, entrance.from, at, top, given);
    }
    return already(name, topic && progress.entered.get(topic), top, top, given);
  }
}
