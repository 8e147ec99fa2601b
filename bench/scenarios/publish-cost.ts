// What a publication costs when it is not fan-out that counts: one subscriber, each by its own POST, and in batches.
// The control takes one publication in a POST, so both figures of its row are that.
import { Stage } from "../stage";
import { CONTROL } from "../targets";
import type { Scenario } from "./scenario";

const IN_FLIGHT = 32;
const BATCH = 100;
const BATCHES_IN_FLIGHT = 4;

export const publishCost: Scenario = {
  name: "publish",
  title: () => `Publishing to one subscriber, ${IN_FLIGHT} in flight, history on`,
  targets: (asked) => asked.filter((name) => name === "baton" || name === CONTROL),
  figures: () => [
    {
      name: "alone",
      label: "server CPU for each publication, alone",
      unit: "µs",
      better: "less",
      charted: true,
    },
    {
      name: "batch",
      label: `server CPU for each, in batches of ${BATCH}`,
      unit: "µs",
      better: "less",
      charted: true,
    },
  ],
  run: (target, { processes, seconds, slices, quick }) =>
    Stage.play(target, processes, async function* (stage) {
      await stage.enter(0, 1, false);
      await stage.warmPublishing(quick);
      const plan = { lanes: IN_FLIGHT, receivers: 1 };
      const alone = yield* stage.publishInTurns(plan, seconds, slices);
      const values = { alone: alone.cpuUs / alone.publications };
      if (target.name === CONTROL) {
        const { expected, received, serverCores } = alone;
        return { values: { ...values, batch: values.alone }, expected, received, serverCores };
      }
      const batches = { lanes: BATCHES_IN_FLIGHT, batch: BATCH, receivers: 1 };
      const batch = yield* stage.publishInTurns(batches, seconds, slices);
      return {
        values: { ...values, batch: batch.cpuUs / batch.publications },
        expected: alone.expected + batch.expected,
        received: alone.received + batch.received,
        serverCores: alone.serverCores,
      };
    }),
};
