// Delivery latency at a fixed rate: from when a publication was due until a client has read it.
// The rate does not depend on the answers: when the server stalls, publications that become due meanwhile count as late.
import type { Scenario } from "../run/scenario";
import { runTarget } from "../run/target-run";
import { withWaves } from "../targets";

/** More than the rate needs, so that a slow answer does not delay the next publication. */
const IN_FLIGHT = 32;
const SECONDS = 4;
const QUICK_SECONDS = 0.5;

export const latency: Scenario = {
  name: "latency",
  title: ({ subscribers, rate }) =>
    `Latency of ${rate} publications/s to ${subscribers.toLocaleString("en")} connections`,
  targets: withWaves,
  figures: () => [
    { name: "p50", label: "p50", unit: "ms" },
    { name: "p99", label: "p99", unit: "ms" },
    { name: "p999", label: "p99.9", unit: "ms" },
    { name: "cpu", label: "server CPU per delivery", unit: "µs" },
    { name: "late", label: "published late, p99", unit: "ms" },
  ],
  run: (target, options) =>
    runTarget(target, options, async function* (run) {
      const { subscribers, rate, quick } = options;
      await run.open(0, subscribers);
      await run.warmUp();
      const seconds = quick ? QUICK_SECONDS : SECONDS;
      const plan = { inFlight: IN_FLIGHT, receivers: subscribers, rate, seconds };
      await run.publish({ ...plan, seconds: seconds / 5 });
      const phase = yield* run.publishInTurns(plan);
      return {
        values: {
          p50: phase.latency.quantile(0.5) / 1e3,
          p99: phase.latency.quantile(0.99) / 1e3,
          p999: phase.latency.quantile(0.999) / 1e3,
          cpu: phase.cpuUs / phase.received,
          late: phase.lateness.quantile(0.99) / 1e3,
        },
        expected: phase.expected,
        received: phase.received,
        serverCores: phase.serverCores,
      };
    }),
};
