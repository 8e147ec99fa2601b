// Clients that publish numbered messages, each in a topic of its own, again and again until they are answered, and what a backend must
// have been told of them.
import { SECRET, token } from "../centrifuge/sdk";
import { SessionClient } from "../centrifuge/session-client";
import { topicsFile } from "../relay/topics-file";
import type { WebhookBackend } from "./webhook-backend";

/** The settings of a relay on which they may. */
export function chatEnv(): Record<string, string> {
  return {
    BATON_TOKEN_SECRET: SECRET,
    BATON_TOPICS_FILE: topicsFile({ "chat:": { allow_publish: ["client"] } }),
    BATON_DEFAULT_TOPICS: "-",
  };
}

/** How long a client that was cut off waits before it tries again. */
const PAUSE_MS = 50;

export class Chat {
  /** How many messages of each client were answered; they are numbered from 0. */
  readonly answered: number[];
  /** How many were published before, which cannot be told apart from others by their numbers. */
  #isEnded = false;

  private constructor(clients: number) {
    this.answered = Array.from({ length: clients }, () => 0);
  }

  /** Begins to publish `each` messages of so many clients, to the relays with these addresses in turn. */
  static begin(
    urls: readonly string[],
    clients: number,
    each: number,
  ): Chat & { done: Promise<unknown> } {
    const chat = new Chat(clients);
    const done = Promise.all(chat.answered.map((_, i) => chat.#publish(urls, i, each)));
    return Object.assign(chat, { done });
  }

  get total(): number {
    return this.answered.reduce((sum, count) => sum + count, 0);
  }

  end(): void {
    this.#isEnded = true;
  }

  async #publish(urls: readonly string[], i: number, each: number): Promise<void> {
    const channel = `chat:${i}`;
    const claims = { sub: `user${i}`, subs: { [channel]: {} } };
    let tries = i;
    while ((this.answered[i] ?? 0) < each && !this.#isEnded) {
      const url = urls[tries++ % urls.length] ?? "";
      try {
        const client = await SessionClient.connect({ url }, { token: await token(claims) });
        const isClosed = client.closed.then(() => "closed" as const);
        while ((this.answered[i] ?? 0) < each) {
          const asked = client.ask("publish", { channel, data: { n: this.answered[i] } });
          asked.catch(() => {});
          const reply = await Promise.race([asked, isClosed]);
          if (reply === "closed" || reply.error !== undefined) break;
          this.answered[i] = (this.answered[i] ?? 0) + 1;
        }
      } catch {
        // It is away; the next try is a moment later.
      }
      await Bun.sleep(PAUSE_MS);
    }
  }

  /** What a backend should not have seen: answered messages that it was not told of, and others than in their order. */
  problems({ events }: WebhookBackend): string[] {
    const problems: string[] = [];
    const known = new Set<string>();
    const next = this.answered.map(() => 0);
    for (const { id, type, data } of events) {
      if (type !== "client.published" || known.has(id)) continue;
      known.add(id);
      const i = Number(data.topic.slice("chat:".length));
      // A message that was not answered is published again.
      const isRepeated = data.data.n === (next[i] ?? 0) - 1;
      if (!isRepeated && data.data.n !== next[i])
        problems.push(`${data.topic}: ${data.data.n} after ${next[i]}`);
      next[i] = data.data.n + 1;
    }
    for (const [i, count] of this.answered.entries()) {
      if ((next[i] ?? 0) < count) problems.push(`chat:${i}: told up to ${next[i]} of ${count}`);
    }
    return problems;
  }
}
