// Delivery latency at a fixed rate, from when a publication was due to when a client has read it.
// Open loop: a stall does not stop the clock of what should have been published meanwhile.
import { Stage } from "../stage";
import type { Scenario } from "./scenario";

/** More than the rate needs, so that a slow answer does not hold the next publication back. */
const LANES = 32;
const SECONDS = 4;
const QUICK_SECONDS = 0.5;

export const latency: Scenario = {
  name: "latency",
  title: ({ subscribers, rate }) =>
    `Latency, ${rate} publications/s to ${subscribers.toLocaleString("en")} connections`,
  figures: () => [
    { name: "p50", label: "p50", unit: "ms", better: "less", charted: true },
    { name: "p99", label: "p99", unit: "ms", better: "less", charted: true },
    { name: "p999", label: "p99.9", unit: "ms", better: "less", charted: false },
    { name: "late", label: "published late, p99", unit: "ms", better: "less", charted: false },
  ],
  run: (target, { subscribers, processes, rate, slices, quick }) =>
    Stage.play(target, processes, async function* (stage) {
      await stage.enter(0, subscribers, false);
      await stage.warmPublishing(quick);
      const seconds = quick ? QUICK_SECONDS : SECONDS;
      const plan = { lanes: LANES, receivers: subscribers, rate };
      await stage.publish({ ...plan, seconds: seconds / 5 });
      const phase = yield* stage.publishInTurns(plan, seconds, slices);
      return {
        values: {
          p50: phase.latency.quantile(0.5) / 1e3,
          p99: phase.latency.quantile(0.99) / 1e3,
          p999: phase.latency.quantile(0.999) / 1e3,
          late: phase.lateness.quantile(0.99) / 1e3,
        },
        expected: phase.expected,
        received: phase.received,
        serverCores: phase.serverCores,
      };
    }),
};
