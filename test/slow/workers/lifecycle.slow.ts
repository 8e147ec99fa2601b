// How a relay with workers starts and ends. Rows F1 and F6 of the fault catalogue.
import { describe, expect, test } from "bun:test";
import { freePort } from "../../support/machine/free-port";
import { isAlive } from "../../support/machine/processes";
import { RelayProcess } from "../../support/relay/relay-process";
import { RelayWithWorkers } from "../../support/relay/relay-with-workers";
import { until } from "../../support/wait";

describe("a relay with workers", () => {
  test("F6: keeps its port: a second relay on it ends with 1, with workers or without", async () => {
    await using relay = await RelayWithWorkers.start();
    const PORT = String(relay.process.port);
    for (const BATON_WORKERS of ["1", "2"]) {
      await using second = new RelayProcess({ PORT, BATON_WORKERS });
      expect(await second.ended()).toBe(1);
      expect(second.errors).toContain("is in use");
    }
    expect((await fetch(`${relay.process.url}/health`)).status).toBe(200);
  });

  test("F6: and another that start at once on one port: one serves, and the other ends with 1", async () => {
    for (let round = 0; round < 3; round++) {
      const env = { PORT: `${freePort()}`, BATON_WORKERS: "2" };
      await using first = new RelayProcess(env);
      await using second = new RelayProcess(env);
      const both = [first, second];
      const ends = both.map(async (relay) => [await relay.ended(), relay.errors] as const);
      const [code, line] = await Promise.race(ends);
      expect(code).toBe(1);
      expect(line).toContain("is in use");
      const listens = ({ output }: RelayProcess) => output.includes("Baton listens on");
      await until("the other relay to listen", () => both.some(listens));
      expect(both.filter(listens)).toHaveLength(1);
    }
  });

  test("F1: shuts down within the window, with 1001 for each connection and exit code 0", async () => {
    await using relay = await RelayWithWorkers.start();
    const { caller } = relay;
    const clients = await Promise.all(
      Array.from({ length: 30 }, (_, user) => caller.connect(user, ["t"])),
    );
    const workers = await relay.workers();
    relay.process.signal("SIGTERM");
    for (const { closed } of clients) expect((await closed).code).toBe(1001);
    expect(await relay.process.exited).toBe(0);
    await until("the workers to end", () => !workers.some(isAlive));
  });

  test("F1: ends at once at a second SIGTERM", async () => {
    await using relay = await RelayWithWorkers.start({ BATON_SHUTDOWN_MS: "600000" });
    const client = await relay.caller.connect(1, ["t"]);
    await relay.caller.connect(2, ["t"]);
    const workers = await relay.workers();
    relay.process.signal("SIGTERM");
    await until("the shutdown to begin", () => relay.process.output.includes("SIGTERM"));
    relay.process.signal("SIGTERM");
    expect(await relay.process.exited).toBe(1);
    await client.closed;
    await until("the workers to end", () => !workers.some(isAlive));
  });
});
