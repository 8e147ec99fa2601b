// Fan-out: every publication goes to every connection. With one publication in flight each delivery
// is a send of its own; with many, a server can send several messages to a socket at once.
import { Stage } from "../stage";
import { CONTROL } from "../targets";
import type { Scenario } from "./scenario";

function fanOut(inFlight: number): Scenario {
  return {
    name: `fan-out-${inFlight}`,
    title: ({ subscribers }) =>
      `Fan-out to ${subscribers.toLocaleString("en")} connections, ${inFlight} in flight`,
    figures: () => [
      {
        name: "cpu",
        label: "server CPU for each delivery",
        unit: "µs",
        better: "less",
        charted: true,
      },
      { name: "rate", label: "deliveries", unit: "1/s", better: "more", charted: false },
    ],
    run: (target, { subscribers, processes, seconds, slices, quick }) =>
      Stage.play(target, processes, async function* (stage) {
        await stage.enter(0, subscribers, false);
        await stage.warmPublishing(quick);
        const plan = { lanes: inFlight, receivers: subscribers };
        await stage.publish({ ...plan, seconds: seconds / 2 });
        const phase = yield* stage.publishInTurns(plan, seconds, slices);
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

/** The same on Baton's other wires: their frames are longer than the control's. */
export const fanOutWires: Scenario = {
  ...fanOut(16),
  name: "fan-out-wires",
  title: ({ subscribers }) =>
    `Fan-out to ${subscribers.toLocaleString("en")} on other wires, 16 in flight`,
  targets: (asked) => [
    ...(asked.includes("baton") ? ["baton-json", "baton-centrifuge", "baton-sse"] : []),
    ...asked.filter((name) => name === CONTROL),
  ],
};

export const fanOutOne = fanOut(1);
export const fanOutSixteen = fanOut(16);
