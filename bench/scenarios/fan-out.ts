// Fan-out: every publication goes to every connection. With one publication in flight each delivery
// is a send of its own; with many, a server can send several messages to a socket at once.
import type { Scenario } from "../run/scenario";
import { runTarget } from "../run/target-run";
import { CONTROL } from "../targets";

function fanOut(inFlight: number): Scenario {
  return {
    name: `fan-out-${inFlight}`,
    title: ({ subscribers }) =>
      `Fan-out to ${subscribers.toLocaleString("en")} connections, ${inFlight} in flight`,
    figures: () => [
      { name: "cpu", label: "server CPU per delivery", unit: "µs" },
      { name: "rate", label: "deliveries", unit: "1/s" },
    ],
    run: (target, options) =>
      runTarget(target, options, async function* (run) {
        const { subscribers, seconds } = options;
        await run.open(0, subscribers);
        await run.warmUp();
        const plan = { inFlight, receivers: subscribers };
        await run.publish({ ...plan, seconds: seconds / 2 });
        const phase = yield* run.publishInTurns(plan);
        return {
          values: {
            cpu: phase.cpuUs / phase.received,
            rate: (phase.received / phase.wallUs) * 1e6,
          },
          expected: phase.expected,
          received: phase.received,
          serverCores: phase.serverCores,
        };
      }),
  };
}

export const fanOutOne = fanOut(1);
export const fanOutSixteen = fanOut(16);

/** Baton's other protocols, whose frames are longer than the control's. */
export const fanOutWires: Scenario = {
  ...fanOutSixteen,
  name: "fan-out-wires",
  title: ({ subscribers }) =>
    `Fan-out to ${subscribers.toLocaleString("en")} connections over other protocols, 16 in flight`,
  targets: (asked) => [
    ...(asked.includes("baton") ? ["baton-json", "baton-centrifuge", "baton-sse"] : []),
    ...asked.filter((name) => name === CONTROL),
  ],
};
