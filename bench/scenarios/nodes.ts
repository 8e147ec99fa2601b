// Two nodes over Redis, each with half of the connections, all publications at one of them: what a delivery costs over both
// nodes and Redis, and how much later it arrives than with one process.
import { Stage } from "../stage";
import { CONTROL } from "../targets";
import type { Scenario } from "./scenario";

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
    {
      name: "cpu",
      label: "CPU of all nodes and Redis for each delivery",
      unit: "µs",
      better: "less",
      charted: true,
    },
    {
      name: "p50",
      label: `half arrive within, at ${rate} publications a second`,
      unit: "ms",
      better: "less",
      charted: false,
    },
    { name: "p99", label: "99 of 100 within", unit: "ms", better: "less", charted: false },
  ],
  run: (target, { subscribers, processes, seconds, slices, rate, quick }) =>
    Stage.play(target, processes, async function* (stage) {
      await stage.enter(0, subscribers, false);
      await stage.warmPublishing(quick);
      const plan = { lanes: IN_FLIGHT, receivers: subscribers };
      const phase = yield* stage.publishInTurns(plan, seconds, slices);
      const slow = yield* stage.publishInTurns({ ...plan, rate }, seconds, slices);
      return {
        values: {
          cpu: phase.cpuUs / phase.received,
          p50: slow.latency.quantile(0.5) / 1e3,
          p99: slow.latency.quantile(0.99) / 1e3,
        },
        expected: phase.expected + slow.expected,
        received: phase.received + slow.received,
        serverCores: phase.serverCores,
      };
    }),
};
