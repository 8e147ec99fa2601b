// Reads a part of a topic's history for whoever asks: clients of sessions, the backend's API and HTTP.
import type { Engine, HistoryPage } from "../contracts/engine";
import { Refusal } from "../contracts/errors";
import { type Maybe, then } from "../contracts/maybe";
import type { Position, Publication } from "../contracts/publication";

/** The most publications in one answer of the Centrifuge protocol. */
export const REPLY_PUBLICATIONS_MAX = 300;

/** Characters of one answer with history: writing one takes a few milliseconds, in which nobody else is served. */
export const HISTORY_SIZE_MAX = 4_194_304;

export interface HistoryRequest {
  /** Publications after this offset or, reversed, before it. Undefined: from the oldest or, reversed, from the newest. */
  readonly since?: number | undefined;
  /** When it is given, the topic must still be in this epoch. */
  readonly epoch?: string | undefined;
  /** The most publications wanted; negative for as many as there may be. 0 asks for the top alone. */
  readonly limit: number;
  /** The most that there may be. */
  readonly limitMax: number;
  /** Newest first. */
  readonly reverse: boolean;
  /** At most so many characters of data, as in HistoryRange. */
  readonly size: number;
}

/** A page of a topic that keeps history. */
export interface KeptPage extends HistoryPage {
  readonly top: Position;
}

/**
 * The topic has passed `checkTopic`. Publications to single users are among those read. Refuses `no_history`,
 * `unrecoverable_position`. Rejects if the engine fails. Cost: the publications read.
 */
export function readHistory(
  engine: Engine,
  topic: string,
  { since, epoch, limit, limitMax, reverse, size }: HistoryRequest,
): Maybe<KeptPage | Refusal> {
  const most = limit < 0 ? limitMax : Math.min(limit, limitMax);
  return then(engine.history(topic, { since, limit: most, reverse, size }), (page) => {
    const { top } = page;
    if (top === undefined) return new Refusal("no_history", "This topic keeps no history.");
    if (epoch === undefined || epoch === top.epoch) return { ...page, top };
    return new Refusal(
      "unrecoverable_position",
      `The topic's epoch is now ${top.epoch}: its history has started afresh, and offsets of another epoch mean nothing.`,
    );
  });
}

/** How many publications are looked at for the newest one of a backend, when clients have published behind it. */
const LOOKED_AT_MAX = 100;

/** The newest publication of a backend to everybody, where there is one, and the top of the history when it was read. */
export interface Newest {
  readonly top: Position | undefined;
  readonly publication: Publication | undefined;
}

/** Rejects if the engine fails. Cost: reading one publication, or `LOOKED_AT_MAX`. */
export function newestOfBackend(engine: Engine, topic: string, limit = 1): Maybe<Newest> {
  const range = { limit, reverse: true, size: HISTORY_SIZE_MAX };
  return then<HistoryPage, Newest>(engine.history(topic, range), ({ top, publications }) => {
    const publication = publications.find(
      ({ info, user }) => info === undefined && user === undefined,
    );
    const isBehind = publication === undefined && publications.length > 0 && limit < LOOKED_AT_MAX;
    return isBehind ? newestOfBackend(engine, topic, LOOKED_AT_MAX) : { top, publication };
  });
}

/** Refuses (`invalid_body`) to read backwards from the beginning, as the reference server does. */
export function checkDirection({
  since,
  reverse,
}: {
  readonly since?: { readonly offset?: number | undefined } | undefined;
  readonly reverse: boolean;
}): Refusal | undefined {
  if (!reverse || since?.offset !== 0) return undefined;
  return new Refusal("invalid_body", "There is nothing before offset 0.");
}

/** As many of them as have this size together, but at least one: whoever reads them asks for the rest from there. */
export function fitting(
  publications: readonly Publication[],
  size: number,
): readonly Publication[] {
  let sum = 0;
  const end = publications.findIndex(({ data }, i) => {
    sum += data.length;
    return i > 0 && sum > size;
  });
  return end < 0 ? publications : publications.slice(0, end);
}
