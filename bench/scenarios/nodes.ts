// Two nodes over Redis, each with half of the connections, all publications sent to one of them: what a delivery costs on both
// nodes and Redis together, and how much later it arrives than with one process.
import type { Scenario } from "../run/scenario";
import { runTarget } from "../run/target-run";
import { CONTROL } from "../targets";

const IN_FLIGHT = 16;

export const nodes: Scenario = {
  name: "nodes",
  title: ({ subscribers }) =>
    `Fan-out to ${subscribers.toLocaleString("en")} over nodes joined by Redis, ${IN_FLIGHT} in flight`,
  targets: (asked) => [
    ...(asked.includes("baton") ? ["baton", "baton-redis", "baton-nodes"] : []),
    ...asked.filter((name) => name === CONTROL),
  ],
  figures: ({ rate }) => [
    { name: "cpu", label: "CPU per delivery, Redis included", unit: "µs" },
    { name: "p50", label: `p50 latency at ${rate} publications/s`, unit: "ms" },
    { name: "p99", label: "p99 latency", unit: "ms" },
  ],
  run: (target, options) =>
    runTarget(target, options, async function* (run) {
      const { subscribers, rate } = options;
      await run.open(0, subscribers);
      await run.warmUp();
      const plan = { inFlight: IN_FLIGHT, receivers: subscribers };
      const phase = yield* run.publishInTurns(plan);
      const paced = yield* run.publishInTurns({ ...plan, rate });
      return {
        values: {
          cpu: phase.cpuUs / phase.received,
          p50: paced.latency.quantile(0.5) / 1e3,
          p99: paced.latency.quantile(0.99) / 1e3,
        },
        expected: phase.expected + paced.expected,
        received: phase.received + paced.received,
        serverCores: phase.serverCores,
      };
    }),
};
