// A history that keeps less than a client may miss: the client gets all that it missed, or is told that it cannot.
import { describe, expect, test } from "bun:test";
import { ResumingSocket } from "../../support/clients/resuming-socket";
import { ResumingStream } from "../../support/clients/resuming-stream";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const HISTORY_SIZE = 50;
const ROUNDS = 200;
const KINDS = { "json sockets": ResumingSocket, streams: ResumingStream };

describe("over 200 interruptions with a history of 50", () => {
  test.each(Object.keys(KINDS) as (keyof typeof KINDS)[])(
    "%s get all that they missed, or recovered: false and nothing of it",
    async (kind) => {
      const env = { BATON_HISTORY_SIZE: String(HISTORY_SIZE) };
      await using relay = await RelayProcess.start(env);
      const client = new KINDS[kind]({ topics: ["a"], register: () => relay.register("u") });
      const received = () => client.received.get("a") ?? [];
      await until("the client to be subscribed", () => client.ready);
      let published = 0;
      const publishMore = async (count: number): Promise<void> => {
        const message = () => ({ topic: "a", message: String(published++) });
        const answer = await relay.post("/publish", Array.from({ length: count }, message));
        await answer.arrayBuffer();
      };

      for (let round = 0; round < ROUNDS; round++) {
        const { connectionsLost, lost } = client;
        const before = { received: received().length, losses: lost.length, published };
        const missed = missedInRound(round);
        client.drop();
        await publishMore(missed);
        await until(
          "the client to be back",
          () => client.connectionsLost > connectionsLost && client.ready,
        );
        await publishMore(1);
        await until("the live one", () => received().at(-1) === String(published - 1));
        const since = received().slice(before.received).map(Number);
        const all = Array.from(
          { length: published - before.published },
          (_, i) => before.published + i,
        );
        if (client.lost.length === before.losses) expect(since, `round ${round}`).toEqual(all);
        else {
          expect(client.lost.length, `round ${round}`).toBe(before.losses + 1);
          expect(missed, `round ${round}`).toBeGreaterThan(HISTORY_SIZE);
          expect(since, `round ${round}`).toEqual([published - 1]);
        }
      }

      expect(client.lost.length).toBeGreaterThan(20);
      expect(client.faults).toEqual([]);
      await client.stop();
      expect(relay.loggedErrors).toEqual([]);
    },
  );
});

/** How many publications the client misses: in every fourth round about as many as the history keeps, else any number. */
function missedInRound(round: number): number {
  if (round % 4 === 0) return HISTORY_SIZE + (round % 3);
  return Math.floor(Math.random() * 100) + 1;
}
