// Several processes that share the port: what a delivery costs over all of them, how evenly the kernel spreads
// connections, and how much later a publication arrives for going through the supervisor.
import { openFilesOf } from "../measure/usage";
import { Stage } from "../stage";
import { CONTROL } from "../targets";
import type { Scenario } from "./scenario";

const IN_FLIGHT = 16;
/** Before the measured work, dropped: many publications to few, in which each process compiles what it runs. */
const WARM_S = 6;
const WARM_SUBSCRIBERS = 40;
/** Phases as long as that are steadier: they end with a wave that is not full, and there are more processes to disturb. */
const TIMES = 3;

export const workers: Scenario = {
  name: "workers",
  title: ({ subscribers }) =>
    `Fan-out to ${subscribers.toLocaleString("en")} over several processes, ${IN_FLIGHT} in flight`,
  targets: (asked) => [
    ...(asked.includes("baton") ? ["baton", "baton-2", "baton-4"] : []),
    ...asked.filter((name) => name === CONTROL),
  ],
  figures: ({ rate }) => [
    {
      name: "cpu",
      label: "CPU of all processes for each delivery",
      unit: "µs",
      better: "less",
      charted: true,
    },
    {
      name: "evenness",
      label: "connections of the fullest process / the emptiest",
      unit: "",
      better: "less",
      charted: false,
    },
    {
      name: "p50",
      label: `half arrive within, at ${rate} publications a second`,
      unit: "ms",
      better: "less",
      charted: false,
    },
  ],
  run: (target, { subscribers, processes, seconds, slices, rate, quick }) =>
    Stage.play(target, processes, async function* (stage) {
      const before = openFilesOf(stage.pid);
      await stage.enter(0, WARM_SUBSCRIBERS, false);
      await stage.warmPublishing(quick);
      const warming = { lanes: IN_FLIGHT, receivers: WARM_SUBSCRIBERS };
      await stage.publish({ ...warming, seconds: quick ? 0.2 : WARM_S });
      await stage.enter(WARM_SUBSCRIBERS, subscribers, false);
      const held = openFilesOf(stage.pid)
        .map((files, i) => files - (before[i] ?? 0))
        .slice(before.length > 1 ? 1 : 0);
      const plan = { lanes: IN_FLIGHT, receivers: subscribers };
      await stage.publish({ ...plan, seconds: quick ? 0.2 : 1 });
      const phase = yield* stage.publishInTurns(plan, TIMES * seconds, slices);
      const slow = await stage.publish({ lanes: 8, receivers: subscribers, rate, seconds });
      return {
        values: {
          cpu: phase.cpuUs / phase.received,
          evenness: Math.max(...held) / Math.max(1, Math.min(...held)),
          p50: slow.latency.quantile(0.5) / 1e3,
        },
        expected: phase.expected + slow.expected,
        received: phase.received + slow.received,
        serverCores: phase.serverCores,
      };
    }),
};
