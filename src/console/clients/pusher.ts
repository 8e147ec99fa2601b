// A client of the Pusher protocol over a WebSocket, as pusher-js is one: as much of it as the page needs (docs/pusher.md).
import { addressOf } from "../api";
import { type ClientEvents, hangUpOf, type TryClient, tryClient } from "./client";

/** `data` is a text, except that of errors, which is an object. */
interface Frame {
  readonly event: string;
  readonly channel?: string;
  readonly data?: unknown;
}

/** `key` is that of an app in BATON_PUSHER_APPS, without which the relay has no such clients. */
export function pusherClient(events: ClientEvents, key: () => string): TryClient {
  const description = {
    name: "Pusher client",
    about: "As pusher-js speaks. Its protocol has no positions: what it misses is lost.",
  };
  return tryClient(description, events, async (_, topics) => {
    if (key() === "") throw new Error("It needs the key of an app that BATON_PUSHER_APPS names.");
    const socket = new WebSocket(addressOf(`app/${encodeURIComponent(key())}?protocol=7`, "ws"));
    socket.onmessage = ({ data }) => receive(JSON.parse(data), topics, socket, events);
    return hangUpOf(socket, events, (code) =>
      code === NOT_FOUND ? ": this relay may have no app (BATON_PUSHER_APPS)" : "",
    );
  });
}

/** Browsers say no more of a refused handshake. */
const NOT_FOUND = 1006;

function receive(
  { event, channel = "", data }: Frame,
  topics: readonly string[],
  socket: WebSocket,
  events: ClientEvents,
): void {
  if (event === "pusher:connection_established") {
    events.onState("connected");
    for (const name of topics) {
      socket.send(JSON.stringify({ event: "pusher:subscribe", data: { channel: name } }));
    }
  } else if (event === "pusher:error") {
    events.onNote((data as { message: string }).message, "bad");
  } else if (event === "pusher:subscription_error") {
    events.onNote(`${channel}: ${(data as { error: string }).error}`, "bad");
  } else if (!event.startsWith("pusher")) {
    events.onData(channel, data);
  }
}
