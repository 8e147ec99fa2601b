// What a publication costs where fan-out does not matter: one subscriber, one publication in a POST, a batch of them, or a line of
// a request that stays open. The control takes one publication in a POST, so all figures of its row are the same.
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
    { name: "lines", label: "server CPU per publication, a line each", unit: "µs" },
  ],
  run: (target, options) =>
    runTarget(target, options, async function* (run) {
      await run.open(0, 1);
      await run.warmUp();
      const alone = yield* run.publishInTurns({ inFlight: IN_FLIGHT, receivers: 1 });
      const phases = [alone];
      if (target.name !== CONTROL) {
        const batches = { inFlight: BATCHES_IN_FLIGHT, batch: BATCH, receivers: 1 };
        phases.push(yield* run.publishInTurns(batches));
        phases.push(yield* run.publishInTurns({ ...batches, asLines: true }));
      }
      const [cpu = 0, batch = cpu, lines = cpu] = phases.map(
        (phase) => phase.cpuUs / phase.publications,
      );
      return {
        values: { alone: cpu, batch, lines },
        expected: phases.reduce((sum, phase) => sum + phase.expected, 0),
        received: phases.reduce((sum, phase) => sum + phase.received, 0),
        serverCores: alone.serverCores,
      };
    }),
};
