// How much of what a client missed goes into the reply to its subscription, for protocols whose replies carry
// publications. The rest follows the reply like live publications.
import type { Publication } from "../contracts/publication";
import type { PendingSubscription } from "../state/subscriptions";

/** The most bytes that one UTF-16 unit of a text takes on the wire: an escape of six, itself escaped where deltas are on. */
const TEXT_BYTES_PER_UNIT_MAX = 7;

/** The same in JSON, which goes out as it is: three bytes of UTF-8. */
const JSON_BYTES_PER_UNIT_MAX = 3;

/** About what a publication costs besides its data. */
const OVERHEAD_BYTES = 200;

/** The budget of one reply, over all of its topics. */
export class ReplyBudget {
  #bytes: number;

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** Takes publications, oldest first, as far as the budget goes; they count as sent. Returns those that are for this user. */
  take(
    subscription: PendingSubscription,
    publications: readonly Publication[],
    user: string,
  ): Publication[] {
    const taken: Publication[] = [];
    for (const publication of publications) {
      const bytes = bytesOf(publication);
      if (bytes > this.#bytes) break;
      this.#bytes -= bytes;
      subscription.sent = publication.offset ?? 0;
      if (publication.user === undefined || publication.user === user) taken.push(publication);
    }
    return taken;
  }
}

/** An upper bound of what a publication takes on the wire. */
function bytesOf({ data, json, info, tags }: Publication): number {
  const perUnit = json === true ? JSON_BYTES_PER_UNIT_MAX : TEXT_BYTES_PER_UNIT_MAX;
  const others = [info?.connectionInfo, info?.topicInfo, tags];
  const length = others.reduce((sum, text) => sum + (text?.length ?? 0), 0);
  return OVERHEAD_BYTES + perUnit * data.length + JSON_BYTES_PER_UNIT_MAX * length;
}
