// The first topics of a socket that can resume: they are deferred until the client's first command, because it must not
// be sent live publications before it has said where it wants to go on. A client that stays silent is pinged, and they
// are subscribed to a moment after its pong.
import type { Heartbeat } from "../connecting/heartbeat";
import type { RelayOptions } from "../contracts/options";
import type { Connection } from "../state/connection";
import type { Topic } from "../state/fan-out/topic";
import type { CatchUp } from "./catch-up";

/**
 * How long after the opening a silent client is pinged. Not at once: some programs lose what arrives together with the
 * answer to their handshake (gobwas/ws keeps it in a buffer of its own), and would never answer that ping.
 */
const PING_AFTER_MS = 100;

/**
 * Counted from the pong, which took as long to arrive as a command: with `PING_AFTER_MS`, every client has a quarter of
 * a second from the moment in which its socket opened, however far away it is.
 */
const DEFER_MS = 150;

/** How often deferred connections are checked. */
const CHECK_MS = 50;

export class DeferredSubscriptions {
  readonly #options: Pick<RelayOptions, "now" | "after">;
  readonly #heartbeat: Heartbeat;
  readonly #catchUp: CatchUp;
  readonly #connections = new Set<Connection>();
  /** There is a timer only while there are such connections: waking 20 times a second for nothing costs 3 ms of it. */
  #hasTimer = false;

  constructor(
    options: Pick<RelayOptions, "now" | "after">,
    heartbeat: Heartbeat,
    catchUp: CatchUp,
  ) {
    this.#options = options;
    this.#heartbeat = heartbeat;
    this.#catchUp = catchUp;
  }

  add(connection: Connection): void {
    this.#connections.add(connection);
    this.#startTimer();
  }

  delete(connection: Connection): void {
    this.#connections.delete(connection);
  }

  /** To be called before the heartbeat notes the pong: one that answers no ping says nothing of the distance. */
  pong({ subscriptions, awaitingPong }: Connection): void {
    if (subscriptions === undefined || !awaitingPong) return;
    subscriptions.activateAt ??= this.#options.now() + DEFER_MS;
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
      if (subscriptions?.activateAt === undefined) {
        this.#pingIfDue(connection, now);
        continue;
      }
      if (subscriptions.activateAt > now || subscriptions.reads > 0) continue;
      this.#connections.delete(connection);
      for (const subscription of subscriptions.pending.filter(isDeferred)) {
        if (connection.subscriptions !== subscriptions) break;
        this.#catchUp.activate(connection, subscriptions, subscription);
      }
    }
  }

  #pingIfDue(connection: Connection, now: number): void {
    if (connection.awaitingPong || now < connection.openedAt + PING_AFTER_MS) return;
    this.#heartbeat.ping(connection, now);
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
