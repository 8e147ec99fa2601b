// How much each client may ask for in a second: its frames and pings, which end the connection when they are too many or too large,
// its publications, which are refused then, and what its requests make the relay send, beyond which they wait for the next second.
import { Refusal } from "../contracts/errors";
import type { Limits } from "../contracts/options";
import type { Connection } from "../state/connection";
import type { Connections } from "../state/connections";

const WINDOW_MS = 1_000;

/** This many newly joined topics count as one frame: each takes 2 us, or 8 to 12 us with a position. */
const TOPICS_PER_FRAME = 8;

/** What a connection used is remembered after its end from here on: opening another one costs as much as this. */
const REMEMBERED_BYTES_MIN = 16_384;

/** How many clients are remembered at most, and for a second at most. */
const REMEMBERED_MAX = 10_000;

/** What a client has used of its second. */
interface Used {
  readonly bytes: number;
  readonly publications: number;
}

export class RateLimit {
  readonly #framesMax: number;
  readonly #bytesMax: number;
  readonly #publicationsMax: number;
  readonly #answerBytes: number;
  readonly #later: (work: () => void) => void;
  readonly #connections: Connections;
  #windowEndsAt = 0;
  /** What waits for the next second. */
  #paused: (() => void)[] = [];
  /** What connections had used that ended in this second, by client: a client must not get a new share by reconnecting. */
  readonly #used = new Map<string, Used>();

  constructor(
    limits: Pick<
      Limits,
      | "connectionFramesMax"
      | "connectionBytesMax"
      | "clientPublicationsMax"
      | "connectionAnswerBytes"
    >,
    later: (work: () => void) => void,
    connections: Connections,
  ) {
    this.#framesMax = limits.connectionFramesMax;
    this.#bytesMax = limits.connectionBytesMax || Number.POSITIVE_INFINITY;
    this.#publicationsMax = limits.clientPublicationsMax || Number.POSITIVE_INFINITY;
    this.#answerBytes = limits.connectionAnswerBytes;
    this.#later = later;
    this.#connections = connections;
    connections.onAdd((connection) => {
      const used = this.#used.size === 0 ? undefined : this.#used.get(clientOf(connection));
      if (used === undefined) return;
      connection.answeredBytes = used.bytes;
      if (connection.session !== undefined) connection.session.published = used.publications;
    });
    connections.onEnd((connection) => this.#remember(connection));
  }

  /** Counts a frame or ping, or several; false when that was too much and the connection was ended. */
  count(connection: Connection, frames = 1): boolean {
    connection.frames += frames;
    if (connection.frames <= this.#framesMax) return true;
    this.#connections.end(connection, "too_many_frames");
    return false;
  }

  /** Counts a frame or ping of so many bytes; false when that was too much and the connection was ended. */
  countFrame(connection: Connection, bytes: number): boolean {
    connection.receivedBytes += bytes;
    if (connection.receivedBytes <= this.#bytesMax) return this.count(connection);
    this.#connections.end(connection, "too_many_bytes");
    return false;
  }

  /** Counts a publication; refuses (`too_many_client_publications`) one too many. */
  countPublication({ session, authority }: Connection): Refusal | undefined {
    const ownMax = authority?.publicationsMax || Number.POSITIVE_INFINITY;
    const max = Math.min(ownMax, this.#publicationsMax);
    if (session === undefined || session.published++ < max) return undefined;
    return new Refusal(
      "too_many_client_publications",
      max === this.#publicationsMax
        ? `A client may send at most ${max} publications in a second (BATON_CLIENT_PUBLICATIONS_MAX).`
        : `This client may send at most ${max} publications in a second.`,
    );
  }

  /** Counts the topics that a frame newly joins. A single frame with as many as there may be always passes. */
  countTopics(connection: Connection, names: ReadonlySet<string>): void {
    const before = new Set(connection.topics.map(({ name }) => name));
    let joined = 0;
    for (const name of names) if (!before.has(name)) joined++;
    connection.frames += Math.floor(joined / TOPICS_PER_FRAME);
  }

  /** Whether the connection's requests have made the relay send as much as they may in this second. */
  isExhausted(connection: Connection): boolean {
    return connection.answeredBytes >= this.#answerBytes;
  }

  /** Does the work at the beginning of the next second, in a turn of its own. */
  pause(work: () => void): void {
    this.#paused.push(work);
  }

  /** To be called often: once a second, all connections count from 0 again. Cost: then, all connections. */
  expire(now: number): void {
    if (now < this.#windowEndsAt) return;
    this.#windowEndsAt = now + WINDOW_MS;
    for (const connection of this.#connections.all()) {
      connection.frames = 0;
      connection.receivedBytes = 0;
      connection.answeredBytes = 0;
      if (connection.session !== undefined) connection.session.published = 0;
    }
    this.#used.clear();
    const paused = this.#paused;
    this.#paused = [];
    for (const work of paused) this.#later(work);
  }

  #remember(connection: Connection): void {
    const { answeredBytes, session } = connection;
    const isLimited = this.#publicationsMax < Number.POSITIVE_INFINITY;
    const published = isLimited && session !== undefined ? session.published : 0;
    if (answeredBytes < REMEMBERED_BYTES_MIN && published === 0) return;
    if (this.#used.size >= REMEMBERED_MAX) return;
    const client = clientOf(connection);
    if (client === "") return;
    const { bytes = 0, publications = 0 } = this.#used.get(client) ?? {};
    this.#used.set(client, {
      bytes: Math.max(answeredBytes, bytes),
      publications: Math.max(published, publications),
    });
  }
}

/** Who counts as the same client after a reconnect: a registration or, in sessions, a user; "" for an anonymous one. */
function clientOf({ id, user, protocol }: Connection): string {
  if (protocol.kind === "topics") return id;
  return user === "" ? "" : `user ${user}`;
}
