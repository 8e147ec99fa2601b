// What the reply to a client that comes back carries itself of what it missed. A client is told by it at once that
// something was missed, and by what follows the reply nothing that it cannot tell from what is live.

import type { Publication } from "../contracts/publication";
import type { Connection } from "../state/connection";
import type { Entrance } from "../state/subscription";

/** At most so many bytes for each UTF-16 unit of a text: three of them, or an escape of six characters. */
const TEXT_GROWTH = 6;
const JSON_GROWTH = 3;

/** About what a publication costs beside its data. */
const OVERHEAD = 200;

/** Fills one reply. */
export class Carrying {
  #room: number;

  /** `room` in bytes, over all topics of the reply; 0: it carries nothing. */
  constructor(room: number) {
    this.#room = room;
  }

  /** What the reply carries of these, from the first one on; they count as sent. Cost: as many as fit. */
  take(
    { user }: Connection,
    entrance: Entrance,
    publications: readonly Publication[],
  ): Publication[] {
    const taken: Publication[] = [];
    for (const publication of publications) {
      const bytes = bytesOf(publication);
      if (bytes > this.#room) break;
      this.#room -= bytes;
      entrance.sent = publication.offset ?? 0;
      if (publication.user === undefined || publication.user === user) taken.push(publication);
    }
    return taken;
  }
}

/** Not less than it takes on the wire, but for what is fixed in it. */
function bytesOf({ data, json, info, tags }: Publication): number {
  const growth = json === true ? JSON_GROWTH : TEXT_GROWTH;
  const aside = [info?.connectionInfo, info?.topicInfo, tags];
  const length = aside.reduce((sum, text) => sum + (text?.length ?? 0), 0);
  return OVERHEAD + growth * data.length + JSON_GROWTH * length;
}
