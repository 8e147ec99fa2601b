// What waves do with their publications, and how much one may have.
import type { Publication } from "../contracts/publication";

export interface WaveDelivery {
  /**
   * Sends a publication to the connections that must have it, and answers to how many. Never throws, since the rest of
   * its wave would be lost.
   */
  deliver(publication: Publication): number;
  /** To how many connections it would be sent now; undefined when no connection here is in its topic. */
  receivers(publication: Publication): number | undefined;
  /** What the topic's rule says of waves, if it says anything and connections here are in the topic. */
  waveMs(topic: string): number | undefined;
}

/**
 * A wave leaves early when it has this much of one topic: it waits in the memory of the process, then in the buffer of each
 * socket, and nobody else is served while it is sent.
 */
export const TOPIC_SIZE_MAX = 65_536;

/** What each publication counts besides its text: with 64 in one send, more of them would save next to nothing. */
const PUBLICATION_SIZE = 1_024;

export function waveSizeOf({ data }: Publication): number {
  return PUBLICATION_SIZE + data.length;
}
