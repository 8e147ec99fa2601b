// The official JavaScript SDK as its users set it up against a relay, and its events as a queue that a test takes them from.
import {
  Centrifuge,
  type ClientEvents,
  type Options,
  type Subscription,
  type SubscriptionEvents,
} from "centrifuge";
import { Centrifuge as BinaryCentrifuge } from "centrifuge/build/protobuf";
import { EventSource } from "eventsource";
import { type JWTPayload, SignJWT } from "jose";
import { Inbox } from "../inbox";
import { withBytes, withValues } from "./protobuf";

/** At least 32 bytes, as BATON_TOKEN_SECRET requires. */
export const SECRET = "a secret of tests with 32 or more characters";

/** Makes a token as a backend does. */
export function token(claims: JWTPayload, secret = SECRET): Promise<string> {
  const header = { alg: "HS256", typ: "JWT" };
  return new SignJWT(claims).setProtectedHeader(header).sign(new TextEncoder().encode(secret));
}

export function inSeconds(seconds: number): number {
  return Math.floor(Date.now() / 1000) + seconds;
}

const PATHS = {
  websocket: "/connection/websocket",
  http_stream: "/connection/http_stream",
  sse: "/connection/sse",
};

export type Transport = keyof typeof PATHS;

/** A transport, and whether the SDK's build for protobuf uses it. */
export type Wire = Transport | `${"websocket" | "http_stream"} in protobuf`;

interface Codec {
  encodeCommands(commands: object[]): unknown;
  decodeReplies(data: unknown): object[];
}

/** The build for protobuf, which gives its program the bytes of payloads. Here they are values, as in the other build. */
class ProtobufCentrifuge extends BinaryCentrifuge {
  /** The SDK calls it to set its codec. */
  _formatOverride(): void {
    const parent: { _formatOverride(): void } = BinaryCentrifuge.prototype as never;
    parent._formatOverride.call(this);
    const codec = this._codec as Codec;
    const { encodeCommands, decodeReplies } = codec;
    codec.encodeCommands = (commands) => encodeCommands.call(codec, commands.map(withBytes));
    codec.decodeReplies = (data) => decodeReplies.call(codec, data).map(withValues);
  }
}

/** Makes a client that reconnects quickly; it does not connect yet. */
export function sdk(
  url: string,
  wire: Wire = "websocket",
  options: Partial<Options> = {},
): Centrifuge {
  const [transport, form] = wire.split(" in ") as [Transport, string | undefined];
  const base = transport === "websocket" ? url.replace(/^http/, "ws") : url;
  const endpoint = base + PATHS[transport];
  const Client =
    form === undefined ? Centrifuge : (ProtobufCentrifuge as unknown as typeof Centrifuge);
  return new Client([{ transport, endpoint }], {
    websocket: WebSocket,
    fetch,
    readableStream: ReadableStream,
    eventsource: EventSource,
    emulationEndpoint: `${url}/emulation`,
    minReconnectDelay: 10,
    maxReconnectDelay: 50,
    ...options,
  });
}

/** Begins to record the events of this name. */
export function recordEvents<Name extends keyof SubscriptionEvents>(
  from: Subscription,
  name: Name,
): Inbox<Parameters<SubscriptionEvents[Name]>[0]>;
export function recordEvents<Name extends keyof ClientEvents>(
  from: Centrifuge,
  name: Name,
): Inbox<Parameters<ClientEvents[Name]>[0]>;
export function recordEvents(from: Centrifuge | Subscription, name: string): Inbox<unknown> {
  const events = new Inbox(`the event ${name} of the SDK`);
  (from as { on(name: string, listener: (event: unknown) => void): unknown }).on(name, events.add);
  return events;
}

/** Connects, and resolves with the event of that. */
export function connect(client: Centrifuge) {
  const event = recordEvents(client, "connected").next();
  client.connect();
  return event;
}

/** Subscribes, and resolves with the subscription, its publications and the event `subscribed`. */
export async function subscribe(
  client: Centrifuge,
  topic: string,
  options: Parameters<Centrifuge["newSubscription"]>[1] = {},
) {
  const subscription = client.newSubscription(topic, options);
  const publications = recordEvents(subscription, "publication");
  const event = recordEvents(subscription, "subscribed").next();
  subscription.subscribe();
  return { subscription, publications, subscribed: await event };
}
