// What publishing costs with each engine, many requests in flight, in batches, and one at a time.
// Nobody receives the publications, so nothing but the engine makes the difference.
import type { Scenario } from "../run/scenario";
import { runTarget } from "../run/target-run";
import { CONTROL } from "../targets";

const IN_FLIGHT = 64;
const BATCH = 100;
const BATCHES_IN_FLIGHT = 8;

export const engines: Scenario = {
  name: "engines",
  title: () => `Publishing with each engine, ${IN_FLIGHT} in flight`,
  targets: (asked) => [
    ...(asked.includes("baton") ? ["baton", "baton-sqlite", "baton-redis"] : []),
    ...asked.filter((name) => name === CONTROL),
  ],
  figures: () => [
    { name: "rate", label: "publications", unit: "1/s" },
    { name: "cpu", label: "server CPU per publication", unit: "µs" },
    { name: "batched", label: `publications in batches of ${BATCH}`, unit: "1/s" },
    { name: "ack", label: "time to the answer, one in flight", unit: "ms" },
  ],
  run: (target, options) =>
    runTarget(target, options, async function* (run) {
      await run.warmUp();
      const plan = { topic: "nobody", inFlight: IN_FLIGHT, receivers: 0 };
      const many = yield* run.publishInTurns(plan);
      const one = yield* run.publishInTurns({ ...plan, inFlight: 1 });
      // The control takes one publication in a request.
      const batches =
        target.name === CONTROL
          ? many
          : yield* run.publishInTurns({ ...plan, inFlight: BATCHES_IN_FLIGHT, batch: BATCH });
      const perSecond = (phase: typeof many) => (phase.publications / phase.wallUs) * 1e6;
      return {
        values: {
          rate: perSecond(many),
          cpu: many.cpuUs / many.publications,
          batched: perSecond(batches),
          ack: one.wallUs / one.publications / 1e3,
        },
        expected: 0,
        received: 0,
        serverCores: many.serverCores,
      };
    }),
};
