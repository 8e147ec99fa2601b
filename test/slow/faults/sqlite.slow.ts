// A relay with the SQLite engine that is killed again and again while it is published to. What it acknowledged is there,
// once, under its offset, and clients that resume receive it once and in order. Row G15 of the fault catalogue.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { ResumingSocket } from "../../support/clients/resuming-socket";
import { Folder } from "../../support/machine/folder";
import { freePort } from "../../support/machine/free-port";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const CASES = [
  ["of one process", {}, 50],
  ["with two workers", { BATON_WORKERS: "2" }, 10],
] as const;
const PUBLISHERS = 8;
const CLIENTS = 6;
const TOPICS = ["a", "b", "c"];

interface Acknowledgement {
  readonly topic: string;
  readonly offset: number;
  readonly epoch: string;
}

/** Publishes until it is stopped: each message with its idempotency key until it is acknowledged, some once more. */
class Publishers {
  readonly acknowledged = new Map<string, Acknowledgement>();
  /** Messages that were acknowledged under two offsets. */
  readonly doubled: string[] = [];
  failedAttempts = 0;
  readonly #url: string;
  readonly #ended: Promise<unknown>;
  #stopped = false;

  constructor(url: string) {
    this.#url = url;
    this.#ended = Promise.all(Array.from({ length: PUBLISHERS }, (_, i) => this.#publish(i)));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#ended;
  }

  async #publish(publisher: number): Promise<void> {
    for (let i = 0; !this.#stopped; i++) {
      const message = `p${publisher}-${i}`;
      const topic = TOPICS[(publisher + i) % TOPICS.length] as string;
      const times = i % 20 === 0 ? 2 : 1;
      for (let time = 0; time < times; time++) await this.#publishUntilAcknowledged(topic, message);
    }
  }

  async #publishUntilAcknowledged(topic: string, message: string): Promise<void> {
    for (;;) {
      const answer = await fetch(`${this.#url}/publish`, {
        method: "POST",
        body: JSON.stringify({ topic, message, idempotency_key: message }),
        headers: { "content-type": "application/json" },
      }).catch(() => undefined);
      if (answer?.status === 200) {
        this.#acknowledge(message, topic, (await answer.json()) as Acknowledgement);
        return;
      }
      this.failedAttempts++;
      await answer?.arrayBuffer().catch(() => {});
      await Bun.sleep(5);
    }
  }

  #acknowledge(message: string, topic: string, { offset, epoch }: Acknowledgement): void {
    const before = this.acknowledged.get(message);
    if (before !== undefined && before.offset !== offset) this.doubled.push(message);
    this.acknowledged.set(message, { topic, offset, epoch });
  }
}

test.each(CASES)(
  "G15: a relay %s that is killed again and again under a storm of publishes loses and doubles nothing",
  async (_, env, kills) => {
    using folder = new Folder();
    const settings = {
      PORT: String(freePort()),
      BATON_ENGINE: `sqlite:${join(folder.path, "baton.db")}`,
      BATON_HISTORY_SIZE: "1000000",
      BATON_IDEMPOTENCY_MAX: "1000000",
      BATON_LOG_LEVEL: "info",
      ...env,
    };
    let relay = await RelayProcess.start(settings);
    const clients = Array.from(
      { length: CLIENTS },
      (_, i) => new ResumingSocket({ topics: TOPICS, register: () => relay.register(`user${i}`) }),
    );
    await until("all clients to be subscribed", () => clients.every(({ ready }) => ready));

    const publishers = new Publishers(relay.url);
    for (let kill = 0; kill < kills; kill++) {
      await Bun.sleep(20 + Math.random() * 250);
      relay.signal("SIGKILL");
      await relay.exited;
      relay = await RelayProcess.start(settings);
    }
    await publishers.stop();
    expect(publishers.doubled).toEqual([]);
    expect(publishers.failedAttempts).toBeGreaterThan(kills);
    expect(publishers.acknowledged.size).toBeGreaterThan(200);

    const kept = await expectAllKept(relay, publishers.acknowledged);
    await expectAllReceived(clients, kept);
    console.log(
      `${publishers.acknowledged.size} acknowledged, ${publishers.failedAttempts} attempts failed`,
    );
    relay.signal("SIGKILL");
    await relay.exited;
  },
);

/** Expects every acknowledged message in the history, and nothing else; resolves with the texts of each topic. */
async function expectAllKept(
  relay: RelayProcess,
  acknowledged: ReadonlyMap<string, Acknowledgement>,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const kept = new Map<string, readonly string[]>();
  for (const topic of TOPICS) {
    const { epoch, publications } = await relay.wholeHistory(topic);
    expect(publications.map(({ offset }) => offset)).toEqual(publications.map((_, i) => i + 1));
    const own = [...acknowledged].filter(([, acknowledgement]) => acknowledgement.topic === topic);
    // Every publisher went on until it was answered, so whatever is there was acknowledged.
    expect(publications).toHaveLength(own.length);
    for (const [message, acknowledgement] of own) {
      expect(acknowledgement.epoch).toBe(epoch);
      expect(publications[acknowledgement.offset - 1]?.data).toBe(message);
    }
    kept.set(
      topic,
      publications.map(({ data }) => data),
    );
  }
  return kept;
}

async function expectAllReceived(
  clients: readonly ResumingSocket[],
  kept: ReadonlyMap<string, readonly string[]>,
): Promise<void> {
  const all = [...kept.values()].flat().length;
  const haveAll = () => clients.every(({ count }) => count >= all);
  await until("all clients to have everything", haveAll);
  for (const client of clients) {
    for (const topic of TOPICS) {
      expect(client.received.get(topic)?.join()).toBe(kept.get(topic)?.join());
    }
    expect(client.lost).toEqual([]);
    expect(client.faults).toEqual([]);
    expect(client.connectionsLost).toBeGreaterThan(0);
    // Registrations survive the process too.
    expect(client.registrations).toBe(1);
  }
  await Promise.all(clients.map((client) => client.stop()));
}
