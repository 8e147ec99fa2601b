// The official JavaScript SDK against a relay, as its users set it up, and what tests ask of it without sleeping.
import {
  Centrifuge,
  type ClientEvents,
  type Options,
  type Subscription,
  type SubscriptionEvents,
} from "centrifuge";
import { EventSource } from "eventsource";
import { type JWTPayload, SignJWT } from "jose";
import { within } from "../wait";

/** At least 32 bytes, as BATON_TOKEN_SECRET shall be. */
export const SECRET = "a secret of tests with 32 or more characters";

/** A token as a backend makes it. */
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

/** A client that comes back quickly; it connects when it is told to. */
export function sdk(
  url: string,
  transport: Transport = "websocket",
  options: Partial<Options> = {},
): Centrifuge {
  const scheme = transport === "websocket" ? "ws:" : "http:";
  const endpoint = url.replace("http:", scheme) + PATHS[transport];
  return new Centrifuge([{ transport, endpoint }], {
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

/** What a client or a subscription tells, in order: taken one by one, and waited for. */
class RecordedEvents<Event> {
  readonly #told: Event[] = [];
  readonly #waiting: ((event: Event) => void)[] = [];
  readonly #what: string;

  constructor(what: string) {
    this.#what = what;
  }

  readonly tell = (event: Event): void => {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#told.push(event);
    else waiting(event);
  };

  next(): Promise<Event> {
    const event = this.#told.shift();
    if (event !== undefined) return Promise.resolve(event);
    return within(this.#what, new Promise<Event>((resolve) => this.#waiting.push(resolve)));
  }

  async take(count: number): Promise<Event[]> {
    const events: Event[] = [];
    while (events.length < count) events.push(await this.next());
    return events;
  }

  /** Those that nobody has asked for. */
  get rest(): readonly Event[] {
    return this.#told;
  }
}

/** Begins to note the events of this name. */
export function recordEvents<Name extends keyof SubscriptionEvents>(
  from: Subscription,
  name: Name,
): RecordedEvents<Parameters<SubscriptionEvents[Name]>[0]>;
export function recordEvents<Name extends keyof ClientEvents>(
  from: Centrifuge,
  name: Name,
): RecordedEvents<Parameters<ClientEvents[Name]>[0]>;
export function recordEvents(
  from: Centrifuge | Subscription,
  name: string,
): RecordedEvents<unknown> {
  const events = new RecordedEvents(`the event ${name} of the SDK`);
  (from as { on(name: string, listener: (event: unknown) => void): unknown }).on(name, events.tell);
  return events;
}

/** Connects and resolves with what the relay answered. */
export function connect(client: Centrifuge) {
  const event = recordEvents(client, "connected").next();
  client.connect();
  return event;
}

/** Subscribes and resolves with the subscription and what the relay answered. */
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
