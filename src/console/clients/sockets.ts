// Registered clients over a WebSocket: plain, which keeps no positions, and format=json, which resumes.
import { register } from "../api";
import {
  type ClientEvents,
  hangUpOf,
  noteRecovery,
  type Position,
  type TryClient,
  tryClient,
} from "./client";

export function plainClient(events: ClientEvents): TryClient {
  const description = { name: "Plain WebSocket", about: "Bare messages. What it misses is lost." };
  return tryClient(description, events, (user, topics) => {
    // A bare message does not say which topic it is of.
    const topic = topics.length === 1 ? (topics[0] ?? "") : "";
    const onFrame = (frame: string) => events.onData(topic, frame);
    return open({ user, topics, query: "" }, events, onFrame, () => ({ topics }));
  });
}

export function jsonClient(events: ClientEvents): TryClient {
  const description = {
    name: "WebSocket with JSON",
    about: "It says which positions it has, and gets what it missed.",
  };
  const since: Record<string, Position> = {};
  const resumed = (topics: Record<string, Position & { recovered?: boolean }>) => {
    for (const [name, { offset, epoch, recovered }] of Object.entries(topics)) {
      noteRecovery(events, name, { recovered });
      if (recovered !== true && epoch !== undefined) since[name] = { offset, epoch };
    }
  };
  const onFrame = (frame: string) => {
    const { topics, topic, data, offset, epoch, error } = JSON.parse(frame);
    if (error !== undefined) events.onNote(error.message, "bad");
    else if (topics !== undefined) resumed(topics);
    else {
      if (offset !== undefined) since[topic] = { offset, epoch };
      events.onData(topic, data);
    }
  };
  return tryClient(description, events, (user, topics) =>
    open({ user, topics, query: "?format=json" }, events, onFrame, () => ({ topics, since })),
  );
}

/** Resolves when the socket is about to open; `first` is the command that it sends then. */
async function open(
  { user, topics, query }: { user: string; topics: readonly string[]; query: string },
  events: ClientEvents,
  onFrame: (frame: string) => void,
  first: () => object,
): Promise<() => void> {
  const { ws } = await register(user, topics);
  const socket = new WebSocket(ws + query);
  socket.onopen = () => {
    events.onState("connected");
    socket.send(JSON.stringify(first()));
  };
  socket.onmessage = ({ data }) => onFrame(data);
  return hangUpOf(socket, events);
}
