// A wave: publications that leave for the sockets together. What waves need of whoever delivers them, and how much one may have.
import type { Publication } from "../../contracts/publication";
import type { Topic } from "./topic";

export interface WaveDelivery {
  /** A topic by its name; undefined when no connection here is in it, or subscribing to it. */
  topic(name: string): Topic | undefined;
  /** Sends a publication to the connections that must have it, and answers to how many. Never throws. */
  deliver(topic: Topic, publication: Publication): number;
  /** The same for all of a wave. */
  deliverAll(departures: readonly Departure[]): void;
  /** To how many connections it would be sent now. */
  receivers(topic: Topic, publication: Publication): number;
}

/** A publication that leaves with a wave. */
export interface Departure {
  readonly topic: Topic;
  readonly publication: Publication;
  readonly acceptedAt: number;
}

export class Wave {
  /** In the order of acceptance. */
  readonly publications: Departure[] = [];
  size = 0;

  get isEmpty(): boolean {
    return this.publications.length === 0;
  }

  /** Answers how much the publication adds to its size. */
  add(topic: Topic, publication: Publication, acceptedAt: number): number {
    const size = PUBLICATION_SIZE + publication.data.length;
    this.publications.push({ topic, publication, acceptedAt });
    this.size += size;
    return size;
  }
}

/**
 * A wave leaves early when it has this much of one topic: it waits in the memory of the process, then in the buffer of each
 * socket, and nobody else is served while it is sent.
 */
export const TOPIC_SIZE_MAX = 65_536;

/** What each publication counts besides its text: with 64 in one send, more of them would save next to nothing. */
const PUBLICATION_SIZE = 1_024;
