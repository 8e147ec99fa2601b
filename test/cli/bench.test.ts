// `baton bench`: what it says of a relay under load, and what it refuses. What it counts is tested without a relay.
import { describe, expect, test } from "bun:test";
import { Arrivals, Durations, messageOf } from "../../src/cli/bench/arrivals";
import { Baton } from "../support/cli/baton";
import { startRelay } from "../support/relay/test-relay";
import { until } from "../support/wait";

describe("baton bench", () => {
  test("counts what every client has received, in a topic of its own, and leaves no connection behind", async () => {
    await using relay = await startRelay();
    const args = ["bench", "--clients", "20", "--rate", "300", "--seconds", "1", "--size", "100"];
    const { code, stdout, stderr } = await Baton.run([...args, "--prefix", "load:", "--json"], {
      env: { BATON_URL: relay.url },
    });
    expect([code, stderr]).toEqual([0, ""]);
    const said = JSON.parse(stdout);
    expect(said).toMatchObject({
      topic: expect.stringMatching(/^load:baton-bench-[\da-f]{8}$/),
      clients: 20,
      published: 300,
      refused: 0,
      ended: 0,
      expected: 6_000,
      received: 6_000,
      lost: 0,
      disordered: 0,
    });
    const { p50, p99, max } = said.arrived_ms;
    expect([p50 > 0, p50 <= p99, p99 <= max]).toEqual([true, true, true]);
    await until("all to be gone", () => relay.counts.connections === 0);
  });

  test("ends with 1 and the relay's sentence where publications are refused", async () => {
    await using relay = await startRelay({ BATON_MESSAGE_BYTES: "50" });
    const args = ["bench", "--clients", "1", "--rate", "20", "--seconds", "1"];
    const { code, stdout, stderr } = await Baton.run(args, { env: { BATON_URL: relay.url } });
    expect(code).toBe(1);
    expect(stdout).toContain("0 published");
    expect(stderr).toContain("20 publications were refused. The relay refused it: A message must");
  });

  test("refuses what is beyond its limits with 2, and says when the relay is not on this machine", async () => {
    const [none, many, product, elsewhere] = await Promise.all([
      Baton.run(["bench", "--clients", "0"]),
      Baton.run(["bench", "--rate", "5001"]),
      Baton.run(["bench", "--clients", "10000", "--rate", "5000"]),
      Baton.run(["bench", "--url", "http://relay.invalid"]),
    ]);
    expect([none.code, none.stderr]).toEqual([2, expect.stringContaining("from 1 to 10000")]);
    expect([many.code, many.stderr]).toEqual([2, expect.stringContaining("from 1 to 5000")]);
    expect([product.code, product.stderr]).toEqual([
      2,
      expect.stringContaining("more than 1000000 messages a second"),
    ]);
    expect(elsewhere.code).toBe(3);
    expect(elsewhere.stderr).toContain("http://relay.invalid is not this machine");
  });
});

describe("what it counts", () => {
  test("a message that comes twice or too late is out of place, one that never comes is missing, by client and sender", () => {
    const arrivals = new Arrivals(2);
    const take = (client: number, sender: number, ...numbers: number[]) => {
      for (const number of numbers) {
        arrivals.take(client, messageOf(sender, number, performance.now(), 64));
      }
    };
    take(0, 0, 0, 1, 3, 2, 3);
    take(0, 31, 0);
    take(1, 0, 0);
    arrivals.take(1, "from somebody else");
    arrivals.take(1, "99 0 1 ");
    expect([arrivals.received, arrivals.disordered]).toEqual([5, 2]);
  });

  test("quantiles of durations are right to two percent", () => {
    const durations = new Durations();
    expect(durations.quantileMs(0.5)).toBe(0);
    for (let ms = 1; ms <= 10_000; ms++) durations.add(ms / 10);
    for (const share of [0.01, 0.5, 0.99]) {
      const right = 1_000 * share;
      expect(durations.quantileMs(share)).toBeGreaterThanOrEqual(right);
      expect(durations.quantileMs(share)).toBeLessThan(1.021 * right);
    }
    expect([durations.quantileMs(1), durations.longestMs]).toEqual([1_000, 1_000]);
  });
});
