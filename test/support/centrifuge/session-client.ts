// A client of the Centrifuge JSON protocol over a bare WebSocket. It sends commands, matches replies by their ids, and keeps
// pushes in order.

import { Client, type Closed } from "../clients/client";
import type { TestRelay } from "../relay/test-relay";

// biome-ignore lint/suspicious/noExplicitAny: tests look into frames of any shape
type Frame = any;

export class SessionClient {
  readonly #client: Client;
  readonly #pushes: Frame[] = [];
  #lastId = 0;
  /** The id of its connection. */
  id = "";

  private constructor(client: Client) {
    this.#client = client;
  }

  /** Connects a session and subscribes it to these topics. */
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

  /** Sends a command and resolves with its reply, also if that is an error. */
  async ask(method: string, body: object): Promise<Frame> {
    const id = ++this.#lastId;
    this.#client.send({ id, [method]: body });
    for (;;) {
      const line = await this.#next();
      if (line.id === id) return line;
      this.#pushes.push(line.push);
    }
  }

  /** Sends a command whose reply is not waited for. */
  send(method: string, body: object): void {
    this.#client.send({ id: ++this.#lastId, [method]: body });
  }

  /** Takes the next push. */
  async next(): Promise<Frame> {
    const push = this.#pushes.shift();
    return push ?? (await this.#next()).push;
  }

  /** Takes all pushes that have arrived, once the relay has handled everything that was sent. */
  async rest(): Promise<Frame[]> {
    const frames = (await this.#client.rest()).flatMap((frame) => frame.split("\n"));
    return [...this.#pushes.splice(0), ...frames.map((line) => JSON.parse(line).push)];
  }

  /** Takes the next frame as text; no push may be left. */
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
