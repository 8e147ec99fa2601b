// A relay with the SQLite engine that is killed again and again while it is published to: what it acknowledged is
// there, once, under its offset, and clients that come back see it once, in order. Row G15 of the fault catalogue.

import { expect, test } from "bun:test";
import { join } from "node:path";
import { ResumingSocket } from "../../support/clients/resuming-socket";
import { Folder } from "../../support/machine/folder";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const CASES = [
  ["of one process", {}, 50],
  ["with two workers", { BATON_WORKERS: "2" }, 10],
] as const;
const PUBLISHERS = 8;
const TOPICS = ["a", "b", "c"];

interface Acknowledged {
  readonly topic: string;
  readonly offset: number;
  readonly epoch: string;
}

/** A port that was free a moment ago, so that every life of the relay has the same address. */
function freePort(): string {
  using server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  return String(server.port);
}

test.each(CASES)(
  "G15: %s, killed again and again in a storm of publishes, it loses and doubles nothing",
  async (_, more, kills) => {
    using folder = new Folder();
    const env = {
      PORT: freePort(),
      BATON_ENGINE: `sqlite:${join(folder.path, "baton.db")}`,
      BATON_HISTORY_SIZE: "1000000",
      BATON_IDEMPOTENCY_MAX: "1000000",
      BATON_LOG_LEVEL: "info",
      ...more,
    };
    let relay = await RelayProcess.start(env);
    const { url } = relay;
    const clients = Array.from(
      { length: 6 },
      (_, i) => new ResumingSocket({ topics: TOPICS, register: () => relay.register(`user${i}`) }),
    );
    await until("all clients to be in", () => clients.every(({ ready }) => ready));

    const acknowledged = new Map<string, Acknowledged>();
    const faults: string[] = [];
    let retried = 0;
    let publishing = true;
    const publisher = async (number: number): Promise<void> => {
      for (let i = 0; publishing; i++) {
        const message = `p${number}-${i}`;
        const topic = TOPICS[(number + i) % TOPICS.length] as string;
        // Again with the same key until it is acknowledged; after that sometimes once more.
        for (let again = i % 20 === 0 ? 2 : 1; again > 0; ) {
          const answer = await fetch(`${url}/publish`, {
            method: "POST",
            body: JSON.stringify({ topic, message, idempotency_key: message }),
            headers: { "content-type": "application/json" },
          }).catch(() => undefined);
          if (answer?.status !== 200) {
            retried++;
            await answer?.arrayBuffer().catch(() => {});
            await Bun.sleep(5);
            continue;
          }
          const { offset, epoch } = (await answer.json()) as Acknowledged;
          const before = acknowledged.get(message);
          if (before !== undefined && before.offset !== offset) faults.push(`${message} twice`);
          acknowledged.set(message, { topic, offset, epoch });
          again--;
        }
      }
    };
    const publishers = Array.from({ length: PUBLISHERS }, (_, i) => publisher(i));

    for (let kill = 0; kill < kills; kill++) {
      await Bun.sleep(20 + Math.random() * 250);
      relay.signal("SIGKILL");
      await relay.exited;
      relay = await RelayProcess.start(env);
    }
    publishing = false;
    await Promise.all(publishers);
    expect(faults).toEqual([]);
    expect(retried).toBeGreaterThan(kills);
    expect(acknowledged.size).toBeGreaterThan(200);

    const expected = new Map<string, string[]>();
    for (const topic of TOPICS) {
      const read: { offset: number; data: string }[] = [];
      let epoch = "";
      for (;;) {
        const path = `/topics/${topic}/history?limit=1000&since=${read.length}`;
        const page = (await (await fetch(url + path)).json()) as {
          epoch: string;
          publications: typeof read;
        };
        epoch = page.epoch;
        if (page.publications.length === 0) break;
        read.push(...page.publications);
      }
      expect(read.map(({ offset }) => offset)).toEqual(read.map((_, i) => i + 1));
      const own = [...acknowledged].filter(([, given]) => given.topic === topic);
      // Every publisher went on until it was answered, so all that is there was acknowledged.
      expect(read).toHaveLength(own.length);
      for (const [message, given] of own) {
        expect(given.epoch).toBe(epoch);
        expect(read[given.offset - 1]?.data).toBe(message);
      }
      expected.set(
        topic,
        read.map(({ data }) => data),
      );
    }

    const all = acknowledged.size;
    await until(
      "all clients to have all",
      () => clients.every(({ count }) => count >= all),
      30_000,
    );
    for (const client of clients) {
      for (const topic of TOPICS) {
        expect(client.received.get(topic)?.join()).toBe(expected.get(topic)?.join());
      }
      expect(client.lost).toEqual([]);
      expect(client.faults).toEqual([]);
      expect(client.connectionsLost).toBeGreaterThan(0);
      // Registrations outlive the process too.
      expect(client.registrations).toBe(1);
    }
    await Promise.all(clients.map((client) => client.stop()));
    console.log(`${all} acknowledged, ${retried} attempts failed`);
    relay.signal("SIGKILL");
    await relay.exited;
  },
  300_000,
);
