// Resuming clients of every kind, each with a user of its own, and the comparison of what they received with what was
// published for them.
import { expect } from "bun:test";
import type { Message } from "../relay/messages";
import type { RelayProcess } from "../relay/relay-process";
import { until } from "../wait";
import type { ResumingClient, ResumingOptions } from "./resuming-client";
import { ReregisteringSocket, ResumingSocket } from "./resuming-socket";
import { ResumingStream } from "./resuming-stream";

const KINDS = {
  "json socket that registers for each connection": ReregisteringSocket,
  "json socket that keeps its address": ResumingSocket,
  stream: ResumingStream,
};

export class Fleet {
  readonly #topics: readonly string[];
  readonly #clients = new Map<string, ResumingClient>();

  private constructor(topics: readonly string[]) {
    this.#topics = topics;
  }

  /** Connects so many clients of each kind, and resolves when all of them are subscribed. */
  static async connect(
    relay: RelayProcess,
    countOfEachKind: number,
    options: Pick<ResumingOptions, "topics" | "through">,
  ): Promise<Fleet> {
    const fleet = new Fleet(options.topics);
    for (const [kind, Kind] of Object.entries(KINDS)) {
      for (let i = 0; i < countOfEachKind; i++) {
        const user = `${kind} ${i}`;
        fleet.#clients.set(user, new Kind({ ...options, register: () => relay.register(user) }));
      }
    }
    await until("all clients to be subscribed", () => fleet.every(({ ready }) => ready));
    return fleet;
  }

  get users(): string[] {
    return [...this.#clients.keys()];
  }

  every(condition: (client: ResumingClient) => boolean): boolean {
    return [...this.#clients.values()].every(condition);
  }

  /** Cuts all connections; the clients then reconnect by themselves. */
  dropAll(): void {
    for (const client of this.#clients.values()) client.drop();
  }

  /** Waits until every client has what was published for it, stops them all, and compares. `note` is shown on failure. */
  async expectAll(published: readonly Message[], note = ""): Promise<void> {
    const forAll = published.filter(({ user_id }) => user_id === undefined).length;
    const forUser = Map.groupBy(published, ({ user_id }) => user_id ?? "");
    const countOf = (user: string) => forAll + (forUser.get(user)?.length ?? 0);
    const haveAll = () => [...this.#clients].every(([user, { count }]) => count >= countOf(user));
    // What is missing after that is shown below, client by client.
    await until("all clients to have everything", haveAll).catch(() => {});
    for (const [user, client] of this.#clients) {
      const own = published.filter(({ user_id }) => user_id === undefined || user_id === user);
      this.#compare(client, own, `${user} ${note}`);
    }
    await Promise.all([...this.#clients.values()].map((client) => client.stop()));
  }

  #compare(client: ResumingClient, published: readonly Message[], name: string): void {
    for (const topic of this.#topics) {
      const expected = published.filter((one) => one.topic === topic).map(({ message }) => message);
      const received = client.received.get(topic) ?? [];
      // Texts are compared first, because that is quick for thousands of long lists.
      if (received.join() !== expected.join()) expect(received, name).toEqual(expected);
    }
    expect(client.lost, name).toEqual([]);
    expect(client.faults, name).toEqual([]);
  }
}
