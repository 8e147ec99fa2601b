// A minute of everything at once: clients come, go, change topics and stall while messages flow. Clients that
// stay get every message once and in order, and memory does not grow from one half to the next.
import { expect, test } from "bun:test";
import { Client } from "../support/clients/client";
import { RawSocket } from "../support/clients/raw-socket";
import { memoryKb } from "../support/machine/processes";
import { RelayProcess } from "../support/relay/relay-process";

const SECONDS = 60;
const STEADY = 20;

test(`${SECONDS} s of churn lose nothing for clients that stay and leak no memory`, async () => {
  await using relay = await RelayProcess.start({
    BATON_PING_MS: "2000",
    BATON_PONG_MS: "2000",
    BATON_BACKPRESSURE_BYTES: "65536",
    BATON_REGISTRATION_TTL_MS: "3000",
  });
  const steady = await Promise.all(
    Array.from({ length: STEADY }, async (_, i) => {
      const client = await Client.open(await relay.register(`steady ${i}`));
      client.send({ topics: ["steady", "tech"] });
      await client.settled();
      return client;
    }),
  );
  const ends = performance.now() + SECONDS * 1_000;
  const running = () => performance.now() < ends;

  const churn = async (kind: number): Promise<void> => {
    while (running()) {
      const url = await relay.register(`churn ${kind}`);
      if (kind % 4 === 0) continue; // never connects
      const raw = await RawSocket.upgrade(url).catch(() => undefined);
      raw?.frame(1, `{"topics":["noise ${kind}","noise"]}`);
      if (kind % 4 === 1) raw?.pause();
      for (let i = 0; i < 5; i++) {
        await relay.post("/publish", { topic: "noise", message: "x".repeat(20_000) });
      }
      if (kind % 4 === 2)
        await fetch(url.replace("ws:", "http:").replace("/ws/", "/register/"), {
          method: "DELETE",
        });
      if (kind % 2 === 0) raw?.reset();
      else raw?.drop();
      await Bun.sleep(5);
    }
  };
  const samples: number[] = [];
  const published: string[] = [];
  const publish = async (): Promise<void> => {
    while (running()) {
      const message = `message ${published.length}`;
      const answer = await relay.post("/publish", { topic: "steady", message });
      expect(await answer.json()).toMatchObject({ delivered: STEADY });
      published.push(message);
      if (published.length % 50 === 0) samples.push(memoryKb(relay.pid));
      await Bun.sleep(2);
    }
  };
  await Promise.all([publish(), ...Array.from({ length: 8 }, (_, kind) => churn(kind))]);

  expect(published.length).toBeGreaterThan(1_000);
  for (const client of steady) {
    expect((await client.rest()).filter((message) => message !== "hi")).toEqual(published);
    client.drop();
  }
  const third = Math.floor(samples.length / 3);
  const middle = Math.max(...samples.slice(third, 2 * third));
  const last = Math.max(...samples.slice(2 * third));
  expect(last).toBeLessThan(middle + 40_000);
}, 120_000);
