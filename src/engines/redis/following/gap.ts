// Closes the gap between what was delivered of a topic here and where the server is.
import { type HistoryPage, type HistoryRange, isWhole } from "../../../relay/contracts/engine";
import type { Position } from "../../../relay/contracts/publication";
import type { Feed } from "./feed";

/** Publications in one read of what is missing. */
const PAGE = 256;

/**
 * Delivers what a feed that holds is missing up to `top`. Where it cannot, since the history does not have it any more or has
 * begun anew: where the topic is now. Gives up when it `isOver`.
 */
export async function closeGap(
  feed: Feed,
  top: Position | undefined,
  read: (topic: string, range: HistoryRange) => Promise<HistoryPage>,
  isOver: () => boolean,
): Promise<Position | undefined> {
  const begin = feed.position;
  if (top === undefined || begin === undefined) return undefined;
  if (top.epoch !== begin.epoch || top.offset < begin.offset) return top;
  for (;;) {
    const at = feed.position;
    if (at === undefined || at.offset >= top.offset) return undefined;
    const page = await read(feed.topic, { since: at.offset, limit: PAGE });
    if (isOver()) return undefined;
    // Nothing, though there was something: the server has gone back.
    if (!isWhole(page, at) || page.publications.length === 0) return page.top;
    feed.give(page.publications);
  }
}
