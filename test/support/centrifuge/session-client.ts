// A client of the Centrifuge JSON protocol over a bare WebSocket: commands out, replies by their ids, pushes in order.

import { Client, type Closed } from "../clients/client";
import type { TestRelay } from "../relay/test-relay";

// biome-ignore lint/suspicious/noExplicitAny: tests look into frames of any shape
type Frame = any;

export class SessionClient {
  readonly #client: Client;
  readonly #pushes: Frame[] = [];
  #lastId = 0;
  /** What the relay calls it. */
  id = "";

  private constructor(client: Client) {
    this.#client = client;
  }

  /** A connected session, in these topics. */
  static async connect(
    relay: TestRelay,
    { token = "", topics = [] }: { token?: string; topics?: readonly string[] } = {},
  ): Promise<SessionClient> {
    const url = `${relay.url.replace("http", "ws")}/connection/websocket`;
    const session = new SessionClient(await Client.open(url));
    const { connect } = await session.ask("connect", token === "" ? {} : { token });
    session.id = connect.client;
    for (const channel of topics) await session.ask("subscribe", { channel });
    return session;
  }

  get closed(): Promise<Closed> {
    return this.#client.closed;
  }

  /** The reply to a command; an error comes as it is. */
  async ask(method: string, body: object): Promise<Frame> {
    const id = ++this.#lastId;
    this.#client.send({ id, [method]: body });
    for (;;) {
      const line = await this.#next();
      if (line.id === id) return line;
      this.#pushes.push(line.push);
    }
  }

  /** The next push that has not been asked for yet. */
  async next(): Promise<Frame> {
    const push = this.#pushes.shift();
    return push ?? (await this.#next()).push;
  }

  /** All pushes that have arrived and were not asked for, once the relay has handled all that was sent. */
  async rest(): Promise<Frame[]> {
    const frames = (await this.#client.rest()).flatMap((frame) => frame.split("\n"));
    return [...this.#pushes.splice(0), ...frames.map((line) => JSON.parse(line).push)];
  }

  /** The next frame as text, when no push waits. */
  nextText(): Promise<string> {
    return this.#client.next();
  }

  close(): Promise<Closed> {
    return this.#client.close();
  }

  drop(): void {
    this.#client.drop();
  }

  async #next(): Promise<Frame> {
    return JSON.parse(await this.#client.next());
  }
}
