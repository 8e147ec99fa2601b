// A client of the JSON format over a socket: frames are parsed, and topics are chosen with the positions to resume from.
import { expect } from "bun:test";
import type { Position } from "../../../src/relay/contracts/publication";
import type { TestRelay } from "../relay/test-relay";
import { until } from "../wait";
import type { Client, Closed } from "./client";

// biome-ignore lint/suspicious/noExplicitAny: tests look into frames of any shape
type Frame = any;

export class JsonClient {
  readonly #relay: TestRelay;
  readonly #client: Client;
  readonly #url: string;

  private constructor(relay: TestRelay, client: Client, url: string) {
    this.#relay = relay;
    this.#client = client;
    this.#url = url;
  }

  /** Connects to the address of a registration. */
  static async open(relay: TestRelay, url: string): Promise<JsonClient> {
    return new JsonClient(relay, await relay.open(`${url}?format=json`), url);
  }

  /** Connects to a new registration of this user. */
  static async connect(relay: TestRelay, user: number | string = 1): Promise<JsonClient> {
    return JsonClient.open(relay, await relay.register(user));
  }

  get closed(): Promise<Closed> {
    return this.#client.closed;
  }

  /** Sends text as it is, and anything else as JSON. */
  send(frame: unknown): void {
    this.#client.send(frame);
  }

  /** The next frame. */
  async next(): Promise<Frame> {
    return JSON.parse(await this.#client.next());
  }

  /** The next frame as it came. */
  nextText(): Promise<string> {
    return this.#client.next();
  }

  /** Chooses topics, and resolves with what the reply says about each of them. */
  async choose(
    topics: readonly string[],
    since?: Readonly<Record<string, Partial<Position>>>,
  ): Promise<Frame> {
    this.send({ topics, since });
    return (await this.next()).topics;
  }

  /** The next publications as `data at offset`. */
  async takeTexts(count: number): Promise<string[]> {
    const frames = (await this.#client.take(count)).map((frame) => JSON.parse(frame));
    return frames.map(({ data, offset }) => `${data} at ${offset}`);
  }

  /** Nothing has come that was not asked for. */
  async expectNothingElse(): Promise<void> {
    expect(await this.#client.rest()).toEqual([]);
  }

  close(): Promise<Closed> {
    return this.#client.close();
  }

  /** Drops the connection and waits until the relay has noticed. */
  async leave(): Promise<void> {
    this.#client.drop();
    await until("the relay to notice that the client has gone", () => !this.isConnected);
  }

  get isConnected(): boolean {
    return this.#relay.isConnected(this.#url);
  }
}

/** What a request without an upgrade gets: 426 while the registration can be used, 404 when there is none. */
export async function statusOf(relay: TestRelay, url: string): Promise<number> {
  const { pathname } = new URL(url);
  return (await relay.request("GET", `${pathname}?format=json`)).status;
}
