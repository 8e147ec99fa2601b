// Sessions: connections whose clients say who they are with a command. Carries out their commands one after the other,
// and ends what is overdue.
import type { RateLimit } from "../connecting/rate-limit";
import type { SessionCommand } from "../contracts/commands";
import { EngineUnavailable } from "../contracts/engine";
import { engineUnavailable, Refusal } from "../contracts/errors";
import type { Maybe } from "../contracts/maybe";
import { COMMANDS_MAX, type RelayOptions } from "../contracts/options";
import { type Authority, KeysUnavailable } from "../contracts/tokens";
import { fits } from "../contracts/transport";
import type { Connection } from "../state/connection";
import type { Connections } from "../state/connections";
import { CONNECT_TIMEOUT_MS, expiryOf, type Session } from "../state/session";
import { newSubscriptions } from "../state/subscriptions";
import { Authentication } from "./authentication";
import type { RelayParts } from "./parts";
import { Renewals } from "./renewals";
import { Replies } from "./replies";
import { SessionRequests } from "./requests";
import { SessionSubscriptions } from "./subscriptions";

/** How long after a token has expired a new one may still come. */
const GRACE_MS = 25_000;

/** Commands of one client that are carried out in one turn of the event loop. */
const COMMANDS_PER_TURN_MAX = 64;

/** What the answers to them may have, about, before the others wait for the next turn: so much takes a few ms. */
const ANSWER_BYTES_PER_TURN_MAX = 1_048_576;

/** What is asked for at length: of these commands a client may send many at once, and be a slow reader only of their answers. */
const LONG_ANSWERS: ReadonlySet<SessionCommand["kind"]> = new Set([
  "subscribe",
  "presence",
  "history",
  "call",
]);

/** How soon a client of an authority that could not be served is tried again. */
const ADMIT_AGAIN_MS = 500;

/** What stands for the connect command of a client that sends none. */
const CONNECT = { kind: "connect", id: 0, token: "", topics: new Map() } as const;

export class Sessions {
  readonly #options: RelayOptions;
  readonly #connections: Connections;
  readonly #rateLimit: RateLimit;
  readonly #replies: Replies;
  readonly #authentication: Authentication;
  readonly #requests: SessionRequests;
  readonly #renewals: Renewals;
  readonly subscriptions: SessionSubscriptions;
  /** Those whose connect command somebody waits for to be answered. */
  readonly #awaited = new Map<Connection, (why?: Refusal) => void>();
  /** Sessions over streams, whose commands come as requests of their own. */
  readonly #bySecret = new Map<string, Connection>();

  constructor(parts: RelayParts) {
    const { options, connections, rateLimit } = parts;
    this.#options = options;
    this.#connections = connections;
    this.#rateLimit = rateLimit;
    this.#replies = new Replies(connections, parts.options.tally);
    const sessionParts = { ...parts, replies: this.#replies };
    this.subscriptions = new SessionSubscriptions(sessionParts);
    this.#requests = new SessionRequests(sessionParts);
    this.#renewals = new Renewals(sessionParts, this.subscriptions);
    this.#authentication = new Authentication(sessionParts, this.subscriptions, this.#renewals);
    connections.onEnd((connection) => this.#forget(connection));
  }

  /** The session over a stream that the reply to its connect command gave this secret. */
  bySecret(secret: string): Connection | undefined {
    return this.#bySecret.get(secret);
  }

  open(connection: Connection): void {
    this.#connections.addUnidentified(connection);
    connection.subscriptions = newSubscriptions();
    const secret = this.#options.newId();
    if (connection.protocol.transport === "stream") this.#bySecret.set(secret, connection);
    connection.session = {
      secret,
      state: "opened",
      deadline: this.#options.now() + CONNECT_TIMEOUT_MS,
      info: undefined,
      meta: undefined,
      topics: new Map(),
      isBusy: false,
      awaitsReader: false,
      queue: [],
      published: 0,
      queuedSize: 0,
    };
    if (connection.authority !== undefined) this.#admit(connection, connection.authority);
  }

  /** The client of an authority is told that it is connected before it says anything. */
  #admit(connection: Connection, { closed }: Authority): void {
    if (closed !== undefined) this.#connections.disconnect(connection, closed.code, closed.reason);
    // In a shutdown it is told nothing, and comes back when the process has ended.
    else if (!this.#connections.isShuttingDown) this.receive(connection, [CONNECT], 0);
  }

  /** The client is told nothing as long as it cannot be served, and closed when that has taken too long: it comes back. */
  #admitLater(connection: Connection, authority: Authority): void {
    this.#options.after(ADMIT_AGAIN_MS, () => {
      if (connection.session?.state === "opened") this.#admit(connection, authority);
    });
  }

  /**
   * Resolves when the connect command of a session that has just opened was answered, or its connection has ended: with
   * the refusal, if it could not be carried out now.
   */
  answered(connection: Connection): Promise<Refusal | undefined> {
    return new Promise((resolve) => this.#awaited.set(connection, resolve));
  }

  #settle(connection: Connection, why?: Refusal): void {
    const resolve = this.#awaited.get(connection);
    if (resolve === undefined) return;
    this.#awaited.delete(connection);
    resolve(why);
  }

  /**
   * Carries out the commands of a frame of `size` characters, after those that came before. Too many that wait end the
   * connection.
   */
  receive(connection: Connection, commands: readonly SessionCommand[], size: number): void {
    const { session } = connection;
    if (session === undefined) return;
    if (!session.isBusy) {
      this.#carryOut(connection, session, commands);
      return;
    }
    const { backpressureBytes } = this.#options.limits;
    session.queuedSize += size;
    if (
      session.queue.length + commands.length > COMMANDS_MAX ||
      (session.queuedSize > backpressureBytes && session.queue.length > 0)
    ) {
      this.#connections.end(connection, "too_many_frames");
    } else session.queue.push(...commands);
  }

  /** Carries out commands until one has to wait, or until the turn of the event loop is over; the rest is queued. */
  #carryOut(connection: Connection, session: Session, commands: readonly SessionCommand[]): void {
    const answeredBefore = connection.answeredBytes;
    for (const [i, command] of commands.entries()) {
      if (connection.session !== session) return;
      const isExhausted = this.#rateLimit.isExhausted(connection);
      session.awaitsReader =
        !isExhausted && LONG_ANSWERS.has(command.kind) && !this.#hasRead(connection);
      if (isExhausted || session.awaitsReader) {
        session.isBusy = true;
        session.queue = commands.slice(i);
        if (isExhausted) this.#rateLimit.pause(() => this.#carryOutQueue(connection, session));
        return;
      }
      const isTurnOver =
        i >= COMMANDS_PER_TURN_MAX ||
        connection.answeredBytes - answeredBefore > ANSWER_BYTES_PER_TURN_MAX;
      const work = isTurnOver ? Promise.resolve() : this.#attempt(connection, session, command);
      if (!(work instanceof Promise)) {
        this.#settle(connection);
        continue;
      }
      session.isBusy = true;
      session.queue = commands.slice(isTurnOver ? i : i + 1);
      // In another turn: other clients have theirs first, however much this one asks for.
      const goOn = () => this.#options.later(() => this.#carryOutQueue(connection, session));
      work.then(
        () => {
          this.#settle(connection);
          goOn();
        },
        (error) => {
          goOn();
          this.#fail(connection, command, error);
        },
      );
      return;
    }
  }

  #carryOutQueue(connection: Connection, session: Session): void {
    const { queue, queuedSize } = session;
    session.isBusy = false;
    session.queue = [];
    session.queuedSize = 0;
    this.#carryOut(connection, session, queue);
    // About: a command does not know its size.
    session.queuedSize += queuedSize * (session.queue.length / queue.length || 0);
  }

  /** Whether the client has read so much that what it asks for next fits beside the rest, however much that is. */
  #hasRead({ socket }: Connection): boolean {
    return fits(
      socket?.getBufferedAmount() ?? 0,
      Number.POSITIVE_INFINITY,
      this.#options.limits.backpressureBytes,
    );
  }

  /** The client has read something: what it has asked for goes on, if that was enough. */
  drained(connection: Connection): void {
    const { session } = connection;
    if (session?.awaitsReader === true) this.#carryOutQueue(connection, session);
  }

  /** The token of a session expires in so many seconds from now; undefined means that it never does. */
  setExpiry(session: Session, seconds: number | undefined): void {
    session.deadline = expiryOf(seconds, this.#options.now());
  }

  /** Ends connections and subscriptions that have expired, and goes on with what has waited. Cost: all sessions, and their topics. */
  expire(): void {
    const now = this.#options.now();
    const { areTopicsAsked } = this.#renewals;
    for (const connection of this.#connections.unidentified()) {
      // Those that wait for the end of a shutdown would come back after it; see Admission.admitTo.
      if (this.#connections.isShuttingDown) break;
      if ((connection.session?.deadline ?? 0) <= now) this.#connections.end(connection, "stale");
    }
    for (const connection of this.#connections.all()) {
      const { session } = connection;
      if (session === undefined) continue;
      if (session.deadline <= now) this.#renewals.renewConnection(connection, session);
      if (areTopicsAsked) this.#renewals.renewTopics(connection, session);
      if (session.deadline + GRACE_MS <= now) this.#connections.end(connection, "expired");
      else this.subscriptions.expire(connection, session, now - GRACE_MS);
      this.drained(connection);
    }
  }

  #forget(connection: Connection): void {
    const { session } = connection;
    if (session === undefined) return;
    this.#bySecret.delete(session.secret);
    this.#settle(connection);
    connection.session = undefined;
  }

  #attempt(connection: Connection, session: Session, command: SessionCommand): Maybe<void> {
    try {
      return this.#do(connection, session, command);
    } catch (error) {
      this.#fail(connection, command, error);
      return undefined;
    }
  }

  /** An engine or keys out of reach are refusals. Anything else is a fault of ours: it costs the connection, and is thrown on. */
  #fail(connection: Connection, command: SessionCommand, error: unknown): void {
    const passing =
      error instanceof EngineUnavailable
        ? engineUnavailable()
        : error instanceof KeysUnavailable
          ? keysUnavailable()
          : undefined;
    if (passing !== undefined && "id" in command) {
      const { authority } = connection;
      const isSilent = command.kind === "connect" && authority !== undefined;
      if (isSilent) this.#admitLater(connection, authority);
      else this.#replies.refuse(connection, command, passing);
      this.#settle(connection, passing);
      return;
    }
    this.#connections.end(connection, "internal");
    throw error;
  }

  /** The promise, if there is one, is of the reply: later commands wait for it. */
  #do(connection: Connection, session: Session, command: SessionCommand): Maybe<void> {
    if (command.kind === "pong" || session.state === "refused") return undefined;
    const isFirst = session.state === "opened";
    // It waits without an answer; see #admit.
    if (isFirst && command.kind !== "connect" && connection.authority !== undefined)
      return undefined;
    if (command.kind === "violation" || isFirst !== (command.kind === "connect")) {
      const isEarly = isFirst && command.kind !== "violation";
      this.#connections.end(connection, isEarly ? "not_connected" : "violation");
      return undefined;
    }
    switch (command.kind) {
      case "connect":
        return this.#authentication.connect(connection, session, command);
      case "identify":
        return this.#authentication.identify(connection, session, command);
      case "ping":
        if (connection.protocol.kind === "session") {
          this.#replies.send(connection, connection.protocol.pong ?? "");
        }
        return undefined;
      case "refresh":
        return this.#authentication.refresh(connection, session, command);
      case "refreshTopic":
        return this.#authentication.refreshTopic(connection, session, command);
      case "subscribe":
        return this.subscriptions.subscribe(connection, session, command);
      case "unsubscribe":
        this.subscriptions.unsubscribe(connection, command.topic);
        this.#replies.reply(connection, { kind: "done", id: command.id, of: "unsubscribe" });
        return undefined;
      case "publish":
        return this.#requests.publish(connection, command);
      case "presence":
      case "presenceCounts":
        return this.#requests.presence(connection, command);
      case "history":
        return this.#requests.history(connection, command);
      case "call":
        return this.#requests.call(connection, command);
      case "refused":
        this.#replies.refuse(connection, command, command.refusal);
        return undefined;
      case "send":
        this.#connections.end(connection, "not_available");
        return undefined;
    }
  }
}

function keysUnavailable(): Refusal {
  return new Refusal(
    "keys_unavailable",
    "The keys for tokens cannot be fetched now. Try again in a moment.",
  );
}
