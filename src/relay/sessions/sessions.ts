// Sessions: connections that say who they are by a command. Obeys their commands one after the other, and ends what
// is overdue.

import type { SessionCommand } from "../contracts/commands";
import { EngineUnavailable } from "../contracts/engine";
import { engineUnavailable, notAvailable } from "../contracts/errors";
import type { Delivery } from "../publishing/delivery";
import type { Connection } from "../state/connection";
import { endOf, type Session } from "../state/session";
import { newProgress } from "../state/subscription";
import { KeysUnavailable } from "../topics/permissions";
import { Authentication, type AuthenticationOptions } from "./authentication";
import { Replies } from "./replies";
import { SessionRequests, type SessionRequestsOptions } from "./requests";
import { SessionSubscriptions, type SessionSubscriptionsOptions } from "./subscriptions";

/** How long a client may take to say who it is. */
const STALE_MS = 10_000;

/** How long after a token's end a new one may still come. */
const GRACE_MS = 25_000;

/** Commands that may wait for one before them: a client with all its topics sends them together. */
const QUEUE_MAX = 1_024;

/** Commands of one client in a turn of the loop. */
const TURN_MAX = 64;

export interface SessionsOptions
  extends Omit<
    SessionRequestsOptions & AuthenticationOptions & SessionSubscriptionsOptions,
    "replies" | "subscribing" | "connected"
  > {
  readonly delivery: Delivery;
  readonly newId: () => string;
  /** In a later turn of the loop. */
  readonly later: (work: () => void) => void;
}

export class Sessions {
  readonly #options: SessionsOptions;
  readonly #replies: Replies;
  readonly #credentials: Authentication;
  readonly #asking: SessionRequests;
  readonly subscribing: SessionSubscriptions;
  /** Those that have not said who they are: not in the registry yet. */
  readonly #opened = new Set<Connection>();
  /** Those whose commands come by another way than their own. */
  readonly #secrets = new Map<string, Connection>();

  constructor(options: SessionsOptions) {
    this.#options = options;
    const replies = new Replies(options.delivery);
    this.#replies = replies;
    this.subscribing = new SessionSubscriptions({ ...options, replies });
    this.#asking = new SessionRequests({ ...options, replies });
    this.#credentials = new Authentication({
      ...options,
      replies,
      subscribing: this.subscribing,
      connected: (connection) => {
        this.#opened.delete(connection);
        options.registry.add(connection);
      },
    });
  }

  /** Connections that have not said who they are. */
  get opened(): number {
    return this.#opened.size;
  }

  /** By the secret that its reply to connect told it. */
  bySecret(secret: string): Connection | undefined {
    return this.#secrets.get(secret);
  }

  open(connection: Connection): void {
    this.#opened.add(connection);
    connection.progress = newProgress();
    const secret = this.#options.newId();
    if (connection.protocol.transport === "stream") this.#secrets.set(secret, connection);
    connection.session = {
      secret,
      state: "opened",
      deadline: this.#options.now() + STALE_MS,
      info: undefined,
      topics: new Map(),
      busy: false,
      queue: [],
      queued: 0,
    };
  }

  /**
   * Obeys the commands of a frame of so many characters, after those that came before; too many that wait end the
   * connection.
   */
  obey(connection: Connection, commands: readonly SessionCommand[], size: number): void {
    const { session } = connection;
    if (session === undefined) return;
    if (!session.busy) {
      this.#obeyInTurn(connection, session, commands);
      return;
    }
    const { backpressureBytes } = this.#options.limits;
    session.queued += size;
    if (
      session.queue.length + commands.length > QUEUE_MAX ||
      (session.queued > backpressureBytes && session.queue.length > 0)
    ) {
      this.#options.end(connection, "too_many_frames");
    } else session.queue.push(...commands);
  }

  /** As far as one goes that must wait, or a turn of the loop; the rest waits. */
  #obeyInTurn(connection: Connection, session: Session, commands: readonly SessionCommand[]): void {
    for (const [i, command] of commands.entries()) {
      if (connection.session !== session) return;
      const work = i < TURN_MAX ? this.#attempt(connection, session, command) : Promise.resolve();
      if (work === undefined) continue;
      session.busy = true;
      session.queue = commands.slice(i < TURN_MAX ? i + 1 : i);
      // In another turn: others have theirs before, however much this client asks for.
      const goOn = () => this.#options.later(() => this.#goOn(connection, session));
      work.then(goOn, (error) => {
        goOn();
        this.#failed(connection, command, error);
      });
      return;
    }
  }

  /** Its token ends in so many seconds from now; undefined: never. */
  prolong(session: Session, seconds: number | undefined): void {
    session.deadline = endOf(seconds, this.#options.now());
  }

  /** The connection has ended. */
  forget(connection: Connection): void {
    const { session } = connection;
    if (session === undefined) return;
    this.#opened.delete(connection);
    this.#secrets.delete(session.secret);
    connection.session = undefined;
  }

  /** Ends connections and topics whose time is over. Cost: all sessions, and their topics. */
  sweep(): void {
    const now = this.#options.now();
    for (const connection of this.#opened) {
      if ((connection.session?.deadline ?? 0) <= now) this.#options.end(connection, "stale");
    }
    for (const connection of this.#options.registry.connections()) {
      const { session } = connection;
      if (session === undefined) continue;
      if (session.deadline + GRACE_MS <= now) this.#options.end(connection, "expired");
      else this.subscribing.sweep(connection, session, now - GRACE_MS);
    }
  }

  #goOn(connection: Connection, session: Session): void {
    session.busy = false;
    session.queued = 0;
    this.#obeyInTurn(connection, session, session.queue.splice(0));
  }

  #attempt(
    connection: Connection,
    session: Session,
    command: SessionCommand,
  ): Promise<void> | undefined {
    try {
      return this.#obey(connection, session, command);
    } catch (error) {
      this.#failed(connection, command, error);
      return undefined;
    }
  }

  /** Anything but an engine or keys out of reach is a fault of ours: it costs the connection, and is thrown on. */
  #failed(connection: Connection, command: SessionCommand, error: unknown): void {
    const passes = error instanceof EngineUnavailable || error instanceof KeysUnavailable;
    if (passes && "id" in command) {
      this.#replies.refuse(connection, command.id, engineUnavailable());
      return;
    }
    this.#options.end(connection, "internal");
    throw error;
  }

  /** The promise, if there is one, is of the reply: later commands wait for it. */
  #obey(
    connection: Connection,
    session: Session,
    command: SessionCommand,
  ): Promise<void> | undefined {
    if (command.kind === "pong" || session.state === "refused") return undefined;
    const isFirst = session.state === "opened";
    if (command.kind === "violation" || isFirst !== (command.kind === "connect")) {
      this.#options.end(connection, "violation");
      return undefined;
    }
    switch (command.kind) {
      case "connect":
        return this.#credentials.connect(connection, session, command);
      case "refresh":
        return this.#credentials.refresh(connection, session, command);
      case "refreshTopic":
        return this.#credentials.refreshTopic(connection, session, command);
      case "subscribe":
        return this.subscribing.subscribe(connection, session, command);
      case "unsubscribe":
        this.subscribing.leave(connection, command.topic);
        this.#replies.reply(connection, { kind: "done", id: command.id, of: "unsubscribe" });
        return undefined;
      case "publish":
        return this.#asking.publish(connection, command);
      case "presence":
      case "presenceCounts":
        return this.#asking.presence(connection, command);
      case "history":
        return this.#asking.history(connection, command);
      case "call":
        this.#replies.refuse(connection, command.id, notAvailable());
        return undefined;
      case "refused":
        this.#replies.refuse(connection, command.id, command.refusal);
        return undefined;
      case "send":
        this.#options.end(connection, "not_available");
        return undefined;
    }
  }
}
