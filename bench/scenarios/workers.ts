// Several processes that share the port: what a delivery costs over all of them, how evenly the kernel distributes
// the connections, and how much later a publication arrives because it goes through the supervisor.
import { openFilesOf } from "../measure/usage";
import type { Scenario } from "../run/scenario";
import { runTarget } from "../run/target-run";
import { CONTROL } from "../targets";

const IN_FLIGHT = 16;
/** Before the measurement: many publications to few subscribers, in which each process compiles what it runs. */
const WARM_SECONDS = 6;
const WARM_SUBSCRIBERS = 40;
const QUICK_WARM_SECONDS = 0.2;
/** Longer phases are steadier here: each ends with a batch that is not full, and there are more processes to disturb. */
const PHASE_FACTOR = 3;
const PACED_IN_FLIGHT = 8;

export const workers: Scenario = {
  name: "workers",
  title: ({ subscribers }) =>
    `Fan-out to ${subscribers.toLocaleString("en")} over several processes, ${IN_FLIGHT} in flight`,
  targets: (asked) => [
    ...(asked.includes("baton") ? ["baton", "baton-2", "baton-4"] : []),
    ...asked.filter((name) => name === CONTROL),
  ],
  figures: ({ rate }) => [
    { name: "cpu", label: "CPU of all processes per delivery", unit: "µs" },
    { name: "evenness", label: "most / fewest connections of a process", unit: "" },
    { name: "p50", label: `p50 latency at ${rate} publications/s`, unit: "ms" },
  ],
  run: (target, options) =>
    runTarget(target, options, async function* (run) {
      const { subscribers, seconds, rate, quick } = options;
      const filesBefore = openFilesOf(run.pid);
      await run.open(0, WARM_SUBSCRIBERS);
      await run.warmUp();
      const warming = { inFlight: IN_FLIGHT, receivers: WARM_SUBSCRIBERS };
      await run.publish({ ...warming, seconds: quick ? QUICK_WARM_SECONDS : WARM_SECONDS });
      await run.open(WARM_SUBSCRIBERS, subscribers);
      // With workers, the first process is the supervisor, which has no connections.
      const connections = openFilesOf(run.pid)
        .map((files, i) => files - (filesBefore[i] ?? 0))
        .slice(filesBefore.length > 1 ? 1 : 0);
      const plan = { inFlight: IN_FLIGHT, receivers: subscribers };
      await run.publish({ ...plan, seconds: quick ? QUICK_WARM_SECONDS : 1 });
      const phase = yield* run.publishInTurns({ ...plan, seconds: PHASE_FACTOR * seconds });
      const paced = await run.publish({ ...plan, inFlight: PACED_IN_FLIGHT, rate, seconds });
      return {
        values: {
          cpu: phase.cpuUs / phase.received,
          evenness: Math.max(...connections) / Math.max(1, Math.min(...connections)),
          p50: paced.latency.quantile(0.5) / 1e3,
        },
        expected: phase.expected + paced.expected,
        received: phase.received + paced.received,
        serverCores: phase.serverCores,
      };
    }),
};
