// What the clients of "Try it" have in common: they connect, go away, and come back. Each speaks one of the relay's protocols as
// a program of its own would.
import { messageOf } from "../api";

/** What a client tells of itself. */
export interface ClientEvents {
  /** It is connected, or not. */
  onState(state: "connecting" | "connected" | "away" | "off"): void;
  /** A publication has arrived. */
  onData(topic: string, data: unknown): void;
  /** Anything else that is of interest. */
  onNote(text: string, kind?: "good" | "bad"): void;
}

export interface TryClient {
  readonly name: string;
  /** What becomes of what it misses. */
  readonly about: string;
  /** Connects as a user with these topics. */
  start(user: string, topics: readonly string[]): void;
  /** Goes away for good. */
  stop(): void;
  /** Loses its connection, and comes back after some seconds with what it has. */
  pull(): void;
}

export interface Position {
  readonly offset: number;
  readonly epoch: string;
}

/** How long a client stays away whose plug was pulled. */
const AWAY_MS = 4_000;

/** `connect` resolves with what ends the connection that it has begun. */
export function tryClient(
  { name, about }: Pick<TryClient, "name" | "about">,
  events: ClientEvents,
  connect: (user: string, topics: readonly string[]) => Promise<() => void>,
): TryClient {
  let user = "";
  let topics: readonly string[] = [];
  let hangUp: (() => void) | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let begun = 0;
  const drop = () => {
    begun++;
    clearTimeout(timer);
    hangUp?.();
    hangUp = undefined;
  };
  const begin = async () => {
    const number = ++begun;
    events.onState("connecting");
    try {
      const end = await connect(user, topics);
      // It may have been dropped meanwhile.
      if (number === begun) hangUp = end;
      else end();
    } catch (error) {
      events.onNote(messageOf(error), "bad");
      events.onState("off");
    }
  };
  return {
    name,
    about,
    start(as, names) {
      drop();
      user = as;
      topics = names;
      begin();
    },
    stop() {
      drop();
      events.onState("off");
    },
    pull() {
      drop();
      events.onState("away");
      timer = setTimeout(begin, AWAY_MS);
    },
  };
}

/** Tells of the end of a socket, with what its code hints at; gives what ends it when the client does not want to know of that. */
export function hangUpOf(
  socket: WebSocket,
  events: ClientEvents,
  hintOf: (code: number) => string = () => "",
): () => void {
  socket.onclose = ({ code, reason }) => {
    events.onNote(`closed with ${code} ${reason}${hintOf(code)}`, "bad");
    events.onState("off");
  };
  return () => {
    socket.onclose = null;
    socket.onmessage = null;
    socket.close();
  };
}

/** Notes what a client was told when it came back; nothing where it did not ask. */
export function noteRecovery(
  events: ClientEvents,
  topic: string,
  { recovered }: { readonly recovered?: boolean | undefined },
): void {
  if (recovered === true) events.onNote(`${topic}: everything that it missed follows`, "good");
  if (recovered === false) events.onNote(`${topic}: what it missed is no longer kept`, "bad");
}
