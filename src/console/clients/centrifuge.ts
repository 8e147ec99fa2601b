// A client of the Centrifuge protocol in JSON, over a WebSocket: as much of it as the page needs (docs/centrifuge-protocol.md).
import { addressOf } from "../api";
import {
  type ClientEvents,
  hangUpOf,
  noteRecovery,
  type Position,
  type TryClient,
  tryClient,
} from "./client";

interface Reply {
  readonly id?: number;
  readonly error?: { readonly code: number; readonly message: string };
  readonly connect?: object;
  readonly subscribe?: Partial<Position> & {
    readonly recovered?: boolean;
    readonly was_recovering?: boolean;
    readonly publications?: readonly Publication[];
  };
  readonly push?: { readonly channel: string; readonly pub?: Publication };
}

interface Publication {
  readonly data: unknown;
  readonly offset?: number;
}

/** `token` is a token of the connection; it may be empty where the relay is open or has anonymous clients. */
export function centrifugeClient(events: ClientEvents, token: () => string): TryClient {
  const description = {
    name: "Centrifuge client",
    about:
      "As the official SDKs speak, which resume by themselves. It says who it is with a token.",
  };
  const positions = new Map<string, Position>();
  return tryClient(description, events, async (_, topics) => {
    const socket = new WebSocket(addressOf("connection/websocket", "ws"));
    socket.onopen = () => socket.send(linesOf(commandsOf(token(), topics, positions)));
    socket.onmessage = ({ data }) => {
      for (const line of String(data).split("\n")) {
        if (line === "{}") socket.send("{}");
        else if (line !== "") receive(JSON.parse(line), topics, positions, events);
      }
    };
    return hangUpOf(socket, events, (code) =>
      code === BAD_REQUEST && token() === "" ? ": this relay wants a token" : "",
    );
  });
}

/** The close code of a client that does not say who it is, where anonymous clients are not admitted. */
const BAD_REQUEST = 3501;

/** The number of the command that subscribes to the first topic. */
const FIRST_SUBSCRIBE = 2;

function commandsOf(
  token: string,
  topics: readonly string[],
  positions: ReadonlyMap<string, Position>,
): object[] {
  const subscribes = topics.map((channel, i) => {
    const position = positions.get(channel);
    const recovery = position === undefined ? {} : { recover: true, ...position };
    return { id: FIRST_SUBSCRIBE + i, subscribe: { channel, ...recovery } };
  });
  return [{ id: 1, connect: { token, name: "console" } }, ...subscribes];
}

function linesOf(commands: readonly object[]): string {
  return commands.map((command) => JSON.stringify(command)).join("\n");
}

function receive(
  { id = 0, error, connect, subscribe, push }: Reply,
  topics: readonly string[],
  positions: Map<string, Position>,
  events: ClientEvents,
): void {
  const published = (channel: string, { data, offset }: Publication) => {
    const position = positions.get(channel);
    if (offset !== undefined && position !== undefined) {
      positions.set(channel, { ...position, offset });
    }
    events.onData(channel, data);
  };
  if (error !== undefined) events.onNote(`${error.message} (${error.code})`, "bad");
  if (connect !== undefined) events.onState("connected");
  if (push?.pub !== undefined) published(push.channel, push.pub);
  if (subscribe === undefined) return;
  const channel = topics[id - FIRST_SUBSCRIBE] ?? "";
  const { epoch, offset = 0, publications = [], recovered = false, was_recovering } = subscribe;
  noteRecovery(events, channel, { recovered: was_recovering === true ? recovered : undefined });
  if (epoch !== undefined) positions.set(channel, { epoch, offset });
  for (const publication of publications) published(channel, publication);
}
