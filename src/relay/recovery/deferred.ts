// The first topics of a socket that can resume: they are deferred until the client's first command, because it must not
// be sent live publications before it has said where it wants to go on. For a client that stays silent they are
// subscribed to a moment after its first pong.
import type { RelayOptions } from "../contracts/options";
import type { Connection } from "../state/connection";
import type { Topic } from "../state/topic";
import type { CatchUp } from "./catch-up";

/**
 * Counted from the first pong: the pong took as long to arrive as a command that was sent when the socket opened, but a
 * browser lets its program send one only after it has answered the ping.
 */
const DEFER_MS = 250;

/** How often deferred connections are checked. */
const CHECK_MS = 50;

export class DeferredSubscriptions {
  readonly #options: Pick<RelayOptions, "now" | "after">;
  readonly #catchUp: CatchUp;
  readonly #connections = new Set<Connection>();
  /** There is a timer only while there are such connections: waking 20 times a second for nothing costs 3 ms of it. */
  #hasTimer = false;

  constructor(options: Pick<RelayOptions, "now" | "after">, catchUp: CatchUp) {
    this.#options = options;
    this.#catchUp = catchUp;
  }

  add(connection: Connection): void {
    this.#connections.add(connection);
    this.#startTimer();
  }

  delete(connection: Connection): void {
    this.#connections.delete(connection);
  }

  pong({ subscriptions }: Connection): void {
    if (subscriptions !== undefined) subscriptions.activateAt ??= this.#options.now() + DEFER_MS;
  }

  #startTimer(): void {
    if (this.#hasTimer || this.#connections.size === 0) return;
    this.#hasTimer = true;
    this.#options.after(CHECK_MS, () => {
      this.#hasTimer = false;
      this.#activateDue();
      this.#startTimer();
    });
  }

  /** Cost: the deferred connections. */
  #activateDue(): void {
    const now = this.#options.now();
    for (const connection of this.#connections) {
      const { subscriptions } = connection;
      if (subscriptions?.activateAt === undefined || subscriptions.activateAt > now) continue;
      if (subscriptions.reads > 0) continue;
      this.#connections.delete(connection);
      for (const subscription of subscriptions.pending.filter(isDeferred)) {
        if (connection.subscriptions !== subscriptions) break;
        this.#catchUp.activate(connection, subscriptions, subscription);
      }
    }
  }

  /** Subscribes all connections to this topic, because the tail that is kept for them has become too large. */
  activateIn(topic: Topic): void {
    for (const connection of [...this.#connections]) {
      const { subscriptions } = connection;
      const subscription = subscriptions?.pending.find(
        (other) => isDeferred(other) && other.topic === topic,
      );
      if (subscriptions === undefined || subscription === undefined) continue;
      if (subscriptions.reads > 0) continue;
      // One that has lost its place in the tail must read history, which cannot be done in the middle of a delivery:
      // `#activateDue` does it.
      if (subscription.tailLosses !== topic.tail.losses) continue;
      this.#catchUp.activate(connection, subscriptions, subscription);
    }
  }
}

function isDeferred({ state }: { readonly state: string }): boolean {
  return state === "deferred";
}
