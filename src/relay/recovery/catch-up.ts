// Gives a connection what it missed of a topic, as fast as it reads, then what the topic's tail has beyond that, and
// in the same turn subscribes it natively.

import { type Engine, type HistoryPage, isWhole } from "../contracts/engine";
import type { CloseName } from "../contracts/errors";
import type { Publication } from "../contracts/publication";
import type { Connection } from "../state/connection";
import type { Entrance, Progress } from "../state/subscription";
import type { Topics } from "../topics/topics";
import { FrameCache } from "./frame-cache";
import type { Reading } from "./history-reader";

/** Publications that one connection is sent in one turn: so many take below a millisecond. */
export const PAGE = 256;

export interface CatchUpOptions {
  readonly engine: Engine;
  readonly topics: Topics;
  readonly reading: Reading;
  readonly backpressureBytes: number;
  readonly later: (work: () => void) => void;
  readonly send: (connection: Connection, frame: string) => boolean;
  readonly end: (connection: Connection, why: CloseName) => void;
}

export class CatchUp {
  readonly #options: CatchUpOptions;
  /** To be cleared about once a second. */
  readonly frames = new FrameCache();

  constructor(options: CatchUpOptions) {
    this.#options = options;
  }

  /** The connection has taken what waited for it: those that are behind go on. */
  drained(connection: Connection): void {
    const { progress } = connection;
    if (progress === undefined || progress.entrances.length === 0) return;
    for (const entrance of progress.entrances.slice()) {
      if (entrance.begun && !entrance.reading) this.#advance(connection, progress, entrance);
    }
  }

  /** Gives up a way into a topic, or ends it because the connection is in. */
  abandon(progress: Progress, entrance: Entrance): void {
    progress.entrances = progress.entrances.filter((other) => other !== entrance);
    this.#options.topics.unfollow(entrance.topic);
  }

  /** Sends what the page has, as far as there is room; at its end, the tail, and subscribes. */
  step(connection: Connection, progress: Progress, entrance: Entrance, page: HistoryPage): void {
    entrance.begun = true;
    entrance.held = false;
    for (const publication of page.publications) {
      // The reply has carried it.
      if ((publication.offset ?? 0) <= entrance.sent) continue;
      if (!this.#hasRoom(connection)) return;
      if (!this.#give(connection, publication)) return;
      entrance.sent = publication.offset ?? 0;
    }
    if (page.top !== undefined && entrance.sent < page.top.offset) {
      entrance.reading = true;
      this.#options.later(() => {
        entrance.reading = false;
        this.#advance(connection, progress, entrance);
      });
      return;
    }
    this.finish(connection, progress, entrance);
  }

  /** Reads on for an entrance that is behind. */
  #advance(connection: Connection, progress: Progress, entrance: Entrance): void {
    if (connection.progress !== progress || !progress.entrances.includes(entrance)) return;
    const { topic } = entrance;
    entrance.mark = topic.tail.publications.length;
    entrance.losses = topic.tail.losses;
    entrance.reading = true;
    const reads = () => [
      this.#options.engine.history(topic.name, { since: entrance.sent, limit: PAGE }),
    ];
    this.#options.reading.read(connection, progress, reads, (pages) => {
      entrance.reading = false;
      if (!progress.entrances.includes(entrance)) return;
      const page = pages?.[0];
      const position = entrance.from && { epoch: entrance.from.epoch, offset: entrance.sent };
      if (page === undefined || position === undefined || !isWhole(page, position)) {
        // Part of it was sent, so it must not go on: the client comes back with the position that it has.
        this.#options.end(connection, "position_lost");
        return;
      }
      this.step(connection, progress, entrance, page);
    });
  }

  /** What the tail has beyond what was sent, then live. */
  finish(connection: Connection, progress: Progress, entrance: Entrance): void {
    const { topic, from } = entrance;
    entrance.begun = true;
    entrance.held = false;
    const isLost = entrance.losses !== topic.tail.losses;
    if (isLost && from !== undefined) {
      this.#advance(connection, progress, entrance);
      return;
    }
    const rest = isLost ? [] : topic.tail.publications.slice(entrance.mark);
    for (const publication of rest) {
      const { offset } = publication;
      if (offset !== undefined && offset <= entrance.sent && publication.epoch === from?.epoch) {
        continue;
      }
      if (offset !== undefined && from !== undefined) {
        if (publication.epoch !== from.epoch) {
          this.#options.end(connection, "position_lost");
          return;
        }
        if (!this.#hasRoom(connection)) return;
      }
      if (publication.except !== connection.id && !this.#give(connection, publication)) return;
      entrance.sent = offset ?? 0;
    }
    progress.entered.set(topic, from);
    this.#options.topics.join(connection, topic);
    // Telling the others that it came may have ended it.
    if (connection.progress === progress) this.abandon(progress, entrance);
  }

  #hasRoom({ socket }: Connection): boolean {
    return (socket?.getBufferedAmount() ?? 0) < this.#options.backpressureBytes / 4;
  }

  /** False when the connection has ended. */
  #give(connection: Connection, publication: Publication): boolean {
    if (publication.user !== undefined && publication.user !== connection.user) return true;
    const frame = this.frames.of(publication, connection.protocol);
    return this.#options.send(connection, frame);
  }
}
