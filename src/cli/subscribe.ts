// `baton subscribe`: follows topics, one JSON line for each publication on standard output, and resumes after cuts without a gap.
import { sanitized, visibleJson } from "../relay/text/visible";
import { CommandFailure, EXIT } from "./failure";
import { note, print } from "./output";
import type { RemoteRelay } from "./remote-relay";

/** The first pause before it connects again, up to which it doubles. Each is made longer or shorter by up to a half. */
const PAUSE_MS = 500;
const PAUSE_MS_MAX = 10_000;

/** A connection that has said nothing for so long is given up. It is asked for a sign of life twice before. */
const SILENCE_MS = 30_000;
const PING_MS = 10_000;

/** The relay ends a connection with these where another has taken its place, or somebody has ended it for good. */
const FINAL_CLOSES = new Set([4_001, 4_503]);

export interface SubscribeFlags {
  readonly user: string;
  readonly since?: string;
  readonly count?: number;
}

interface Position {
  readonly offset: number;
  readonly epoch: string;
}

interface TopicReply extends Position {
  readonly recovered?: boolean;
}

/** Bun's socket can ask for a sign of life, and be cut, which the type of the web does not know. */
interface BunSocket extends WebSocket {
  ping(): void;
  terminate(): void;
}

/** Resolves when --count publications have been printed. Throws CommandFailure, and ReaderGone. */
export async function subscribe(
  relay: RemoteRelay,
  topics: readonly string[],
  flags: SubscribeFlags,
): Promise<void> {
  const subscriber = new Subscriber(relay, topics, flags);
  // The first try says what is wrong; afterwards a relay that cannot be reached is waited for.
  const register = () => relay.register(flags.user, []);
  let id: string | undefined = await register();
  for (let pauseMs = PAUSE_MS; ; ) {
    const end = id === undefined ? "refused" : await subscriber.follow(id);
    if (end === "done") return;
    if (end === "lost") pauseMs = PAUSE_MS;
    await Bun.sleep(pauseMs * (0.5 + Math.random()));
    pauseMs = Math.min(PAUSE_MS_MAX, 2 * pauseMs);
    id = await register().catch((error: CommandFailure) => {
      note(`baton: ${error.message} Trying again.\n`);
      return undefined;
    });
  }
}

class Subscriber {
  readonly #relay: RemoteRelay;
  readonly #topics: readonly string[];
  readonly #positions: Record<string, Position> = {};
  #left: number;

  constructor(relay: RemoteRelay, topics: readonly string[], flags: SubscribeFlags) {
    this.#relay = relay;
    this.#topics = topics;
    this.#left = flags.count ?? Number.POSITIVE_INFINITY;
    const [topic, ...others] = topics;
    if (flags.since === undefined || topic === undefined) return;
    if (others.length > 0) {
      throw new CommandFailure("--since is a position in one topic.", EXIT.misused);
    }
    this.#positions[topic] = positionOf(flags.since);
  }

  /** Follows the topics until the connection ends: "refused" where there was none. Throws CommandFailure, and ReaderGone. */
  async follow(id: string): Promise<"done" | "lost" | "refused"> {
    const socket = this.#relay.connect(id, "?format=json") as BunSocket;
    const ended = Promise.withResolvers<"done" | "lost" | "refused">();
    let heardAt = performance.now();
    let wasOpen = false;
    socket.onopen = () => {
      wasOpen = true;
      socket.send(JSON.stringify({ topics: this.#topics, since: this.#positions }));
    };
    socket.onmessage = ({ data }) => {
      heardAt = performance.now();
      try {
        if (this.#left > 0) this.#take(String(data));
        if (this.#left <= 0) ended.resolve("done");
      } catch (error) {
        ended.reject(error);
      }
    };
    socket.addEventListener("pong", () => {
      heardAt = performance.now();
    });
    socket.onclose = ({ code, reason }) => {
      if (FINAL_CLOSES.has(code))
        ended.reject(new CommandFailure(`The relay has ended it: ${sanitized(reason)} (${code}).`));
      else ended.resolve(wasOpen ? "lost" : "refused");
    };
    const timer = setInterval(() => {
      if (performance.now() - heardAt > SILENCE_MS) socket.terminate();
      else if (wasOpen) socket.ping();
    }, PING_MS);
    try {
      return await ended.promise;
    } finally {
      clearInterval(timer);
      socket.close();
    }
  }

  #take(text: string): void {
    const frame = JSON.parse(text);
    if (frame.error !== undefined) {
      throw new CommandFailure(
        `The relay refused it: ${frame.error.message} (${frame.error.code})`,
      );
    }
    if (frame.topics !== undefined) {
      this.#takeReply(text, frame.topics);
      return;
    }
    const { topic, offset, epoch } = frame;
    if (offset !== undefined) this.#positions[topic] = { offset, epoch };
    this.#left--;
    print(visibleJson(text));
  }

  /** A gap that cannot be filled is said on standard output too, in the relay's own words. */
  #takeReply(text: string, replies: Readonly<Record<string, TopicReply>>): void {
    const lost = Object.keys(replies).filter((topic) => replies[topic]?.recovered === false);
    for (const [topic, { offset, epoch, recovered }] of Object.entries(replies)) {
      if (recovered !== true && epoch !== undefined) this.#positions[topic] = { offset, epoch };
    }
    if (lost.length === 0) return;
    note(`baton: ${lost.join(", ")}: what was missed is no longer kept\n`);
    print(visibleJson(text));
  }
}

/** Throws CommandFailure. */
function positionOf(text: string): Position {
  const [, epoch, offset] = /^([^:]{1,64}):(\d{1,16})$/.exec(text) ?? [];
  if (epoch !== undefined) return { epoch, offset: Number(offset) };
  throw new CommandFailure(
    "--since must be a position as the relay gives it, epoch:offset, such as abcdefgh:7.",
    EXIT.misused,
  );
}
