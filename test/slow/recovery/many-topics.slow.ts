// More topics than their histories have room for. Row E5 of the fault catalogue.
import { describe, expect, test } from "bun:test";
import { RawSocket } from "../../support/clients/raw-socket";
import { ResumingSocket } from "../../support/clients/resuming-socket";
import { inFull } from "../../support/in-full";
import { MemorySampler, memoryKb } from "../../support/machine/processes";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const HISTORY_BYTES = 16 * 1_048_576;
const PONG = 10;

/** Of subscriptions to 128 new topics, by each of two sockets. */
const ROUNDS = inFull(1_200, 500);

describe("E5: a flood of topics", () => {
  test("of 150,000 with history takes no more memory than 16 MiB of history may, and a bystander gets every message", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_BYTES: String(HISTORY_BYTES) });
    const bystander = new ResumingSocket({ topics: ["a"], register: () => relay.register("u") });
    await until("the bystander to be subscribed", () => bystander.ready);
    using memory = new MemorySampler(relay.pid);
    for (let i = 0; i < 150; i++) {
      const flood = Array.from({ length: 1_000 }, (_, k) => ({
        topic: `flood ${i} ${k} ${Math.random()}`,
        message: `message ${i} ${k}`,
      }));
      await (await relay.post("/publish", flood)).arrayBuffer();
      await (await relay.post("/publish", { topic: "a", message: `m${i}` })).arrayBuffer();
    }
    // At 150,000 topics a second most of it is garbage.
    expect(memory.growthKb).toBeLessThan(300_000);
    const isSmall = () => memoryKb(relay.pid) - memory.beforeKb < (3 * HISTORY_BYTES) / 1_024;
    await until("the garbage to be gone", isSmall);
    await until("the bystander to have everything", () => bystander.count === 150);
    expect(bystander.received.get("a")).toEqual(Array.from({ length: 150 }, (_, i) => `m${i}`));
    expect((await relay.history("a")).publications).toHaveLength(100);
    await bystander.stop();
    expect(relay.loggedErrors).toEqual([]);
  });

  test("that are only subscribed to evicts no history of other topics", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_BYTES: "1000000" });
    const kept = Array.from({ length: 50 }, (_, i) => ({ topic: "kept", message: `m${i}` }));
    const [first] = (await (await relay.post("/publish", kept)).json()) as { epoch: string }[];
    const position = { offset: 0, epoch: first?.epoch ?? "" };
    using memory = new MemorySampler(relay.pid);
    await subscribeToMany(relay, position);
    const { publications } = await relay.history("kept");
    expect(publications.map(({ data }) => data)).toEqual(kept.map(({ message }) => message));
    const client = new ResumingSocket({ topics: ["kept"], register: () => relay.register("u") });
    client.positions.kept = position;
    await until("the client to have everything", () => client.count === 50);
    expect(client.lost).toEqual([]);
    expect(memory.growthKb).toBeLessThan(100_000);
    await client.stop();
    expect(relay.loggedErrors).toEqual([]);
  });
});

/** Has two sockets subscribe to 128 new topics, again and again; one of them claims a position in each. */
async function subscribeToMany(relay: RelayProcess, position: object): Promise<void> {
  const plain = await RawSocket.upgrade(await relay.register("subscriber"));
  const resuming = await RawSocket.upgrade(`${await relay.register("subscriber")}?format=json`);
  const text = JSON.stringify(position);
  for (let round = 0; round < ROUNDS; round++) {
    const names = Array.from({ length: 128 }, () => `subscribed ${Math.random()}`);
    const topics = JSON.stringify(names);
    const since = names.map((name) => `"${name}":${text}`).join();
    plain.frame(1, `{"topics":${topics}}`);
    resuming.frame(1, `{"topics":${topics},"since":{${since}}}`);
    for (const raw of [plain, resuming]) raw.frame(9, "");
    for (const raw of [plain, resuming]) while ((await raw.nextFrame()).opcode !== PONG);
  }
  for (const raw of [plain, resuming]) raw.drop();
}
