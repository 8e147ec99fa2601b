// Warns of clients for which a message is too large. Such a client closes its connection, reconnects and asks for what it
// missed, so that it is sent the same message again and again; only the log can tell the operator.
import { type Log, shortId } from "../../log";
import type { Frame } from "../../relay/contracts/transport";
import type { Connection } from "../../relay/state/connection";
import { sanitized } from "../../relay/text/visible";

/** The close code of a peer that was sent more than it takes (RFC 6455, section 7.4.1). */
export const TOO_LARGE = 1009;

/** No common client library has a smaller limit: Tomcat takes 8 KiB. */
const LARGE_BYTES = 8_000;

const PERIOD_MS = 60_000;

/** Warnings in a period: with one library in use, they all say the same. */
const WARNINGS_MAX = 20;

const SENTENCE =
  "a client closed its connection because a message is too large for it (1009), and will be sent the same message when it reconnects: raise the limit of its library, add ?max_bytes= to its address, or lower BATON_MESSAGE_BYTES";

export class TooLargeLog {
  readonly #log: Log;
  #lastLargeBytes = 0;
  #periodEndsAt = 0;
  /** Who was warned of in this period: users or, where they have no name, connections. */
  readonly #warned = new Set<string>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** To be called for each frame that is fanned out, not for each receiver. */
  sent(frame: Frame): void {
    if (frame.length >= LARGE_BYTES) this.#lastLargeBytes = Buffer.byteLength(frame);
  }

  /** A client has closed with `TOO_LARGE`. Warns at most once in a minute for each user. */
  closed({ id, user }: Connection, reason: string): void {
    const now = performance.now();
    if (now >= this.#periodEndsAt) {
      this.#periodEndsAt = now + PERIOD_MS;
      this.#warned.clear();
    }
    const who = user === "" ? id : user;
    if (this.#warned.size >= WARNINGS_MAX || this.#warned.has(who)) return;
    this.#warned.add(who);
    const largeBytes = this.#lastLargeBytes;
    this.#log.warn(
      {
        connection: shortId(id),
        user: sanitized(user),
        reason: sanitized(reason),
        ...(largeBytes > 0 && { lastLargeFrameBytes: largeBytes }),
      },
      SENTENCE,
    );
  }
}
