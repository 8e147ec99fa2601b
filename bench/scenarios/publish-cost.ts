// What a publication costs where fan-out does not matter: one subscriber, one publication in a POST or a batch of them.
// The control takes one publication in a POST, so both figures of its row are the same.
import type { Scenario } from "../run/scenario";
import { runTarget } from "../run/target-run";
import { CONTROL } from "../targets";

const IN_FLIGHT = 32;
const BATCH = 100;
const BATCHES_IN_FLIGHT = 4;

export const publishCost: Scenario = {
  name: "publish",
  title: () => `Publishing to one subscriber, ${IN_FLIGHT} in flight, history on`,
  targets: (asked) => asked.filter((name) => name === "baton" || name === CONTROL),
  figures: () => [
    { name: "alone", label: "server CPU per publication", unit: "µs" },
    { name: "batch", label: `server CPU per publication in batches of ${BATCH}`, unit: "µs" },
  ],
  run: (target, options) =>
    runTarget(target, options, async function* (run) {
      await run.open(0, 1);
      await run.warmUp();
      const alone = yield* run.publishInTurns({ inFlight: IN_FLIGHT, receivers: 1 });
      const values = { alone: alone.cpuUs / alone.publications };
      if (target.name === CONTROL) {
        const { expected, received, serverCores } = alone;
        return { values: { ...values, batch: values.alone }, expected, received, serverCores };
      }
      const batches = { inFlight: BATCHES_IN_FLIGHT, batch: BATCH, receivers: 1 };
      const batch = yield* run.publishInTurns(batches);
      return {
        values: { ...values, batch: batch.cpuUs / batch.publications },
        expected: alone.expected + batch.expected,
        received: alone.received + batch.received,
        serverCores: alone.serverCores,
      };
    }),
};
