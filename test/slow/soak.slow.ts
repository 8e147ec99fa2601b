// Everything at once for a while: clients connect, close, change topics and stall while messages flow. Clients that stay
// receive every message once and in order, and memory does not grow from the middle of that time to its end.
import { expect, test } from "bun:test";
import { Client } from "../support/clients/client";
import { RawSocket } from "../support/clients/raw-socket";
import { inFull } from "../support/in-full";
import { memoryKb } from "../support/machine/processes";
import { RelayProcess } from "../support/relay/relay-process";

const SECONDS = inFull(60, 20);
const STEADY_CLIENTS = 20;
const RESTLESS_CLIENTS = 8;
const GROWTH_MAX_KB = 40_000;

test(`clients that stay lose nothing and the relay leaks no memory while others connect, stall and drop for ${SECONDS} s`, async () => {
  await using relay = await RelayProcess.start({
    BATON_PING_MS: "2000",
    BATON_PONG_MS: "10000",
    BATON_BACKPRESSURE_BYTES: "65536",
    BATON_REGISTRATION_TTL_MS: "3000",
  });
  const steady = await Promise.all(
    Array.from({ length: STEADY_CLIENTS }, (_, i) => connectSteady(relay, `steady ${i}`)),
  );
  const ends = performance.now() + SECONDS * 1_000;
  const goesOn = () => performance.now() < ends;
  const memorySamples: number[] = [];
  const published: string[] = [];
  const publish = async (): Promise<void> => {
    while (goesOn()) {
      const message = `message ${published.length}`;
      expect(await relay.publish("steady", message)).toBe(STEADY_CLIENTS);
      published.push(message);
      if (published.length % 50 === 0) memorySamples.push(memoryKb(relay.pid));
      await Bun.sleep(2);
    }
  };
  const beRestless = async (kind: number): Promise<void> => {
    while (goesOn()) await comeAndGo(relay, kind);
  };
  await Promise.all([
    publish(),
    ...Array.from({ length: RESTLESS_CLIENTS }, (_, kind) => beRestless(kind)),
  ]);

  expect(published.length).toBeGreaterThan(500);
  for (const client of steady) {
    expect((await client.rest()).filter((message) => message !== "hi")).toEqual(published);
    client.drop();
  }
  const third = Math.floor(memorySamples.length / 3);
  const middle = Math.max(...memorySamples.slice(third, 2 * third));
  const last = Math.max(...memorySamples.slice(2 * third));
  expect(last).toBeLessThan(middle + GROWTH_MAX_KB);
});

async function connectSteady(relay: RelayProcess, user: string): Promise<Client> {
  const client = await Client.open(await relay.register(user));
  client.send({ topics: ["steady", "tech"] });
  await client.settled();
  return client;
}

/** One short visit: of four kinds, one never connects, one stalls, one is deleted, and one just drops. */
async function comeAndGo(relay: RelayProcess, kind: number): Promise<void> {
  const url = await relay.register(`restless ${kind}`);
  if (kind % 4 === 0) return;
  const raw = await RawSocket.upgrade(url).catch(() => undefined);
  raw?.frame(1, `{"topics":["noise ${kind}","noise"]}`);
  if (kind % 4 === 1) raw?.pause();
  for (let i = 0; i < 5; i++) await relay.publish("noise", "x".repeat(20_000));
  if (kind % 4 === 2) {
    const address = url.replace("ws:", "http:").replace("/ws/", "/register/");
    await fetch(address, { method: "DELETE" });
  }
  if (kind % 2 === 0) raw?.reset();
  else raw?.drop();
  await Bun.sleep(5);
}
