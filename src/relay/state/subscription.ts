// A connection's way into a topic: where it begins, how far it is, and what it is owed.

import type { SubscribeResult, TopicsCommand } from "../contracts/commands";
import { type HistoryPage, isWhole } from "../contracts/engine";
import { ANY_EPOCH, type Position } from "../contracts/publication";
import type { Topic } from "./topic";

/** A topic that a connection is on its way into: it gets no live publications of it yet. */
export interface Entrance {
  readonly topic: Topic;
  /** The client has or gets all after it. */
  from: Position | undefined;
  /** Up to this offset everything was sent. */
  sent: number;
  /** Where the topic's tail begins for it; good as long as the tail has not been lost since. */
  mark: number;
  losses: number;
  /** What it gets is decided; until then it waits for a page of history or, when `held`, for the first command. */
  begun: boolean;
  held: boolean;
  /** The next page of history is on its way. */
  reading: boolean;
}

/** What a connection of a protocol with positions keeps beside its topics. */
export interface Progress {
  entrances: Entrance[];
  /** For each topic that it is subscribed to: since when it has all of it. */
  readonly entered: Map<Topic, Position | undefined>;
  /** Pages of history that are being read; commands wait for them in `queue`. */
  reads: number;
  readonly queue: TopicsCommand[];
  /** When held topics are let in without a command; undefined until the first pong. */
  releaseAt: number | undefined;
}

export function newProgress(): Progress {
  return { entrances: [], entered: new Map(), reads: 0, queue: [], releaseAt: undefined };
}

/** From where a connection that has got nothing yet goes on, and whether that is from where it wants. */
export function outset(
  entrance: Entrance,
  page: HistoryPage,
  given: Position | undefined,
): SubscribeResult {
  const { top } = page;
  const topic = entrance.topic.name;
  // Held ones are given all since they began, if it is known where that was.
  if (given === undefined && entrance.held && (entrance.from !== undefined || top === undefined)) {
    return { topic, top, at: entrance.from };
  }
  const position = given?.epoch === ANY_EPOCH && top ? { ...given, epoch: top.epoch } : given;
  const recovered = position !== undefined && isWhole(page, position);
  const at = recovered ? position : top;
  entrance.from = at;
  entrance.sent = at?.offset ?? 0;
  return given === undefined ? { topic, top, at } : { topic, top, at, recovered };
}

/** The same for a topic of which it has all between `from` and `at`, and gets the rest, live or soon. */
export function already(
  topic: string,
  from: Position | undefined,
  at: Position | undefined,
  top: Position | undefined,
  given: Position | undefined,
): SubscribeResult {
  if (given === undefined) return { topic, top, at };
  const recovered =
    from !== undefined &&
    at !== undefined &&
    given.epoch === from.epoch &&
    given.epoch === at.epoch &&
    given.offset >= from.offset &&
    given.offset <= at.offset;
  return { topic, top, at, recovered };
}
