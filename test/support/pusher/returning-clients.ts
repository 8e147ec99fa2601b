// Many clients in one channel that come back as pusher-js does: a second after each close, all alike, and after a refused handshake
// not before 15 seconds. They check what they receive: numbers that rise by one for as long as a connection lasts.
import { until } from "../wait";
import { APP } from "./app";

const RETURNS_AFTER_MS = 1_000;
const RETURNS_AFTER_REFUSAL_MS = 15_000;

interface Options {
  readonly url: string;
  readonly count: number;
  /** A public one. */
  readonly channel: string;
}

class ReturningClient {
  readonly #options: Options;
  readonly #index: number;
  #socket: WebSocket | undefined;
  #isEnding = false;
  isSubscribed = false;
  last: number | undefined;
  closes = 0;
  refusals = 0;
  readonly faults: string[] = [];

  constructor(options: Options, index: number) {
    this.#options = options;
    this.#index = index;
    this.#connect();
  }

  end(): void {
    this.#isEnding = true;
    this.#socket?.close();
  }

  #connect(): void {
    if (this.#isEnding) return;
    const url = this.#options.url.replace("http", "ws");
    const socket = new WebSocket(`${url}/app/${APP.key}?protocol=7`);
    this.#socket = socket;
    let isOpen = false;
    socket.onopen = () => {
      isOpen = true;
    };
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = () => {
      if (this.isSubscribed) this.closes++;
      if (!isOpen) this.refusals++;
      this.isSubscribed = false;
      this.last = undefined;
      setTimeout(() => this.#connect(), isOpen ? RETURNS_AFTER_MS : RETURNS_AFTER_REFUSAL_MS);
    };
  }

  #receive({ event, data }: { event: string; data: string }): void {
    if (event === "pusher:connection_established") {
      const { channel } = this.#options;
      this.#socket?.send(JSON.stringify({ event: "pusher:subscribe", data: { channel } }));
    } else if (event === "pusher_internal:subscription_succeeded") {
      this.isSubscribed = true;
    } else if (event === "n") this.#take(Number(data));
  }

  #take(number: number): void {
    if (this.last !== undefined && number !== this.last + 1) {
      this.faults.push(`client ${this.#index} got ${number} after ${this.last}`);
    }
    this.last = number;
  }
}

export class ReturningClients implements Disposable {
  readonly clients: readonly ReturningClient[];

  constructor(options: Options) {
    this.clients = Array.from({ length: options.count }, (_, i) => new ReturningClient(options, i));
  }

  /** Resolves when all are subscribed, each for the so-many-th time. */
  async subscribed(times = 1): Promise<void> {
    await until(`all to be subscribed for the ${times}. time`, () =>
      this.clients.every(({ isSubscribed, closes }) => isSubscribed && closes >= times - 1),
    );
  }

  [Symbol.dispose](): void {
    for (const client of this.clients) client.end();
  }
}
