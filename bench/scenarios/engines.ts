// What each engine costs: publications that nobody receives, many in flight and one at a time.
import { Stage } from "../stage";
import { CONTROL } from "../targets";
import type { Scenario } from "./scenario";

const IN_FLIGHT = 64;
const BATCH = 100;

export const engines: Scenario = {
  name: "engines",
  title: () => `Publishing with each engine, ${IN_FLIGHT} in flight`,
  targets: (asked) => [
    ...(asked.includes("baton") ? ["baton", "baton-sqlite", "baton-redis"] : []),
    ...asked.filter((name) => name === CONTROL),
  ],
  figures: () => [
    { name: "rate", label: "publications", unit: "1/s", better: "more", charted: false },
    {
      name: "cpu",
      label: "server CPU for each publication",
      unit: "µs",
      better: "less",
      charted: true,
    },
    {
      name: "batched",
      label: `publications in batches of ${BATCH}`,
      unit: "1/s",
      better: "more",
      charted: false,
    },
    {
      name: "ack",
      label: "answered after, one in flight",
      unit: "ms",
      better: "less",
      charted: false,
    },
  ],
  run: (target, { processes, seconds, slices, quick }) =>
    Stage.play(target, processes, async function* (stage) {
      await stage.warmPublishing(quick);
      const topic = "nobody";
      const plan = { topic, lanes: IN_FLIGHT, receivers: 0 };
      const many = yield* stage.publishInTurns(plan, seconds, slices);
      const one = yield* stage.publishInTurns({ ...plan, lanes: 1 }, seconds, slices);
      const isBare = target.name === CONTROL;
      const batches = isBare
        ? many
        : yield* stage.publishInTurns({ ...plan, lanes: 8, batch: BATCH }, seconds, slices);
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
