// What the backend asks of connections, and does to them: by user, by client, or both.
import type { ClientInfo } from "./command";
import type { Connection } from "./connection";
import type { Engine, Page, Range } from "./engine";
import { type CloseName, notAvailable, Refusal } from "./errors";
import type { PresenceCounts } from "./presence";
import type { Registry } from "./registry";
import type { TopicRules } from "./rules";
import type { Sessions } from "./sessions";
import type { Gift } from "./subscribing";
import { checkTopic, fitsBytes } from "./text";
import type { Topics } from "./topics";

/** Whose connections; what is given must all fit. With nothing given it is nobody's. */
export interface Who {
  readonly user?: string | undefined;
  /** An id of a connection, or what presence calls it. */
  readonly client?: string | undefined;
  /** The secret of a session over a stream. */
  readonly session?: string | undefined;
}

/** How connections are ended. */
export interface Close {
  readonly code: number;
  readonly reason: string;
}

/** Of the reason in a close frame (RFC 6455, 5.5): 125 bytes, two of them the code. */
const REASON_BYTES_MAX = 123;

/** Refuses (`invalid_body`) what a backend cannot end connections with. Reasons are never empty: SDKs read no code then. */
export function closeOf(code = 3503, reason = ""): Close | Refusal {
  if (code < 3000 || code > 4999) {
    return new Refusal("invalid_body", "A code is from 3000 to 4999.");
  }
  if (!fitsBytes(reason, REASON_BYTES_MAX)) {
    return new Refusal("invalid_body", "A reason has at most 123 bytes of UTF-8.");
  }
  return { code, reason: reason || "force disconnect" };
}

/** An open connection, as the backend sees it. */
export interface ConnectionView {
  readonly id: string;
  readonly user: string;
  readonly protocol: string;
  readonly topics: readonly string[];
  /** How long it has been open, in ms. */
  readonly ageMs: number;
  /** What waits in this process for the client to read. */
  readonly waitingBytes: number;
}

export interface BackendOptions {
  readonly registry: Registry;
  readonly topics: Topics;
  readonly sessions: Sessions;
  readonly engine: Engine;
  readonly rules: TopicRules;
  readonly now: () => number;
  readonly end: (connection: Connection, why: CloseName) => void;
  readonly closed: (connection: Connection) => void;
}

export class Backend {
  readonly #options: BackendOptions;

  constructor(options: BackendOptions) {
    this.#options = options;
  }

  /** Cost: the user's connections. */
  connections(who: Who): readonly ConnectionView[] {
    const now = this.#options.now();
    return this.#of(who).map((connection) => ({
      id: connection.id,
      user: connection.user,
      protocol: connection.protocol.name,
      topics: connection.topics.map(({ name }) => name),
      ageMs: Math.max(0, now - connection.openedAt),
      waitingBytes: connection.socket?.getBufferedAmount() ?? 0,
    }));
  }

  /** Ends connections and their registrations, with a code from 3000 to 4999; answers how many. */
  disconnect(who: Who, { code, reason }: Close, spared: ReadonlySet<string> = new Set()): number {
    const found = this.#of(who).filter(({ id, publicId }) => {
      return !spared.has(id) && !spared.has(publicId);
    });
    for (const connection of found) {
      const { socket, protocol } = connection;
      this.#options.closed(connection);
      const last = protocol.session?.encodeDisconnect(code, reason) ?? "";
      if (last !== "") socket?.send(last);
      socket?.close(code, reason);
    }
    return found.length;
  }

  /** Brings sessions into a topic; those that have it keep it as it is. Fails with EngineUnavailable. */
  async subscribe(who: Who, gift: Gift): Promise<Refusal | undefined> {
    const refusal = checkTopic(gift.topic);
    if (refusal !== undefined) return refusal;
    const given = this.#of(who).map((connection) =>
      this.#options.sessions.subscribing.give(connection, gift),
    );
    const answers = await Promise.all(given);
    return answers.find(
      (answer) => answer instanceof Refusal && answer.code !== "already_subscribed",
    ) as Refusal | undefined;
  }

  /** Takes sessions out of a topic, or with "" out of all, and tells them. */
  unsubscribe(who: Who, topic: string): void {
    for (const connection of this.#of(who)) {
      const names = topic === "" ? [...(connection.session?.topics.keys() ?? [])] : [topic];
      for (const name of names) {
        this.#options.sessions.subscribing.takeOut(connection, name, 2000, "server unsubscribe");
      }
    }
  }

  /** Tokens of sessions end in so many seconds, undefined for never, or now. */
  refresh(who: Who, ttl: number | undefined | "now"): void {
    for (const connection of this.#of(who)) {
      if (connection.session === undefined) continue;
      if (ttl === "now") this.#options.end(connection, "expired");
      else this.#options.sessions.prolong(connection.session, ttl);
    }
  }

  /** Who is in a topic; refuses (`not_available`) where its rule asks for no presence. Cost: those. */
  presence(topic: string): readonly ClientInfo[] | Refusal {
    return this.#noPresence(topic) ?? this.#options.topics.presence.clients(topic);
  }

  /** How many are; in constant time. */
  presenceCounts(topic: string): PresenceCounts | Refusal {
    return this.#noPresence(topic) ?? this.#options.topics.presence.counts(topic);
  }

  /** A part of a topic's history, for the backend: publications to single users too. Rejects if the engine fails. */
  history(topic: string, range: Range): Page | Refusal | Promise<Page> {
    return checkTopic(topic) ?? this.#options.engine.history(topic, range);
  }

  /** Removes what a topic's history keeps; its epoch and offset stay. Rejects if the engine fails. */
  forgetHistory(topic: string): Refusal | undefined | Promise<undefined> {
    return checkTopic(topic) ?? this.#options.engine.forget(topic);
  }

  /** Users with open connections. */
  get users(): number {
    return this.#options.registry.users;
  }

  /** The topics of this node, with their subscriptions. Cost: all topics. */
  topicSizes(): readonly [name: string, size: number][] {
    return this.#options.topics.sizes();
  }

  #noPresence(topic: string): Refusal | undefined {
    const refusal = checkTopic(topic);
    if (refusal !== undefined || this.#options.rules.of(topic).presence) return refusal;
    return notAvailable();
  }

  #of({ user = "", client = "", session = "" }: Who): readonly Connection[] {
    const { registry, sessions } = this.#options;
    const bySession = session === "" ? undefined : sessions.bySecret(session);
    const byClient = registry.connection(client) ?? registry.named(client);
    const found = bySession ?? byClient;
    const some =
      found === undefined
        ? registry.ofUser(user).slice()
        : registry.connection(found.id) === found
          ? [found]
          : [];
    return some.filter(
      (connection) =>
        (user === "" || connection.user === user) &&
        (client === "" || connection.id === client || connection.publicId === client) &&
        (session === "" || connection.session?.secret === session),
    );
  }
}
