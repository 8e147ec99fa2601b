// What a connection that can resume has of its topics, and the topics that it is still subscribing to.
import type { SubscribeResult, SubscriptionForm, TopicsCommand } from "../contracts/commands";
import { type HistoryPage, isWhole } from "../contracts/engine";
import { ANY_EPOCH, type Position } from "../contracts/publication";
import type { Topic } from "./fan-out/topic";

/** A topic that a connection is subscribing to: it is sent no live publications of the topic yet. */
export interface PendingSubscription {
  readonly topic: Topic;
  form: SubscriptionForm;
  /** The client has, or is being sent, everything after this position. */
  from: Position | undefined;
  /** Everything up to this offset was sent. */
  sent: number;
  /** Where the topic's tail begins for this connection; it is valid as long as the tail has not been lost since. */
  tailIndex: number;
  tailLosses: number;
  /**
   * "deferred": it waits for the client's first command. "reading": it waits for a first page of history.
   * "catching up": where it starts is decided, and what was missed is being sent.
   */
  state: "deferred" | "reading" | "catching up";
  /** The next page of history has been asked for. */
  isPaging: boolean;
}

export interface Subscriptions {
  pending: PendingSubscription[];
  /** The topics that it is natively subscribed to, each with the position since which it has everything. */
  readonly completeSince: Map<Topic, Position | undefined>;
  /** Reads of history that have not been answered; commands wait for them in `queue`. */
  reads: number;
  readonly queue: TopicsCommand[];
  /** When deferred topics are subscribed to without a command; undefined until the client has answered a ping. */
  activateAt: number | undefined;
}

export function newSubscriptions(): Subscriptions {
  return {
    pending: [],
    completeSince: new Map(),
    reads: 0,
    queue: [],
    activateAt: undefined,
  };
}

export function pendingOf(
  { pending }: Subscriptions,
  name: string,
): PendingSubscription | undefined {
  return pending.find(({ topic }) => topic.name === name);
}

/**
 * Decides where a connection that was sent nothing of the topic yet starts: after the position that its client gave, if
 * the page shows that everything since is kept, else at the top. The result says which of them it is.
 */
export function startPosition(
  subscription: PendingSubscription,
  page: HistoryPage,
  given: Position | undefined,
): SubscribeResult {
  const { top } = page;
  const topic = subscription.topic.name;
  const { state, from } = subscription;
  // A deferred one is sent everything since it was deferred, if it is known where that was.
  if (given === undefined && state === "deferred" && (from !== undefined || top === undefined)) {
    return { topic, top, at: from };
  }
  const position = given?.epoch === ANY_EPOCH && top ? { ...given, epoch: top.epoch } : given;
  const recovered = position !== undefined && isWhole(page, position);
  const at = recovered ? position : top;
  subscription.from = at;
  subscription.sent = at?.offset ?? 0;
  return given === undefined ? { topic, top, at } : { topic, top, at, recovered };
}

/**
 * The same for a topic that the connection has already: it has everything from `from` to `at`, and is sent the rest.
 */
export function resumedPosition(
  topic: string,
  {
    from,
    at,
    top,
  }: { from: Position | undefined; at: Position | undefined; top: Position | undefined },
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
