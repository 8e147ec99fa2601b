// Opening connections: what many clients that connect at once cost.
// Baton's clients register first; the other targets have no registration, so both of their figures are the same.
import type { Scenario } from "../run/scenario";
import { type Cost, runTarget } from "../run/target-run";
import { withForms } from "../targets";

/** Connections that are opened and closed before the measurement, so that the code is compiled. */
const WARM_MAX = 1_000;

function add(sum: { cpuUs: number; wallUs: number }, cost: Cost): void {
  sum.cpuUs += cost.cpuUs;
  sum.wallUs += cost.wallUs;
}

export const open: Scenario = {
  name: "open",
  title: ({ connections }) => `Opening ${connections.toLocaleString("en")} connections`,
  targets: withForms,
  figures: () => [
    { name: "whole", label: "server CPU per connection with registration", unit: "µs" },
    { name: "connect", label: "server CPU per connect alone", unit: "µs" },
    { name: "rate", label: "opened", unit: "1/s" },
  ],
  run: (target, options) =>
    runTarget(target, options, async function* (run) {
      const { connections, slices } = options;
      for (let round = 0; round < 2; round++) {
        await run.open(0, Math.min(WARM_MAX, connections));
        await run.disconnect();
      }
      const prepared = { cpuUs: 0, wallUs: 0 };
      const connected = { cpuUs: 0, wallUs: 0 };
      // A user's two connections are in the same slice.
      const share = 2 * Math.ceil(connections / slices / 2);
      for (let from = 0; from < connections; from += share) {
        yield;
        const to = Math.min(connections, from + share);
        add(prepared, await run.prepare(from, to));
        add(connected, await run.connect());
      }
      // A connection counts as open only if a publication reaches it.
      const phase = await run.publish({ inFlight: 1, receivers: connections, count: 1 });
      const registers = target.registration !== undefined;
      const cpuUs = connected.cpuUs + (registers ? prepared.cpuUs : 0);
      const wallUs = connected.wallUs + (registers ? prepared.wallUs : 0);
      return {
        values: {
          whole: cpuUs / connections,
          connect: connected.cpuUs / connections,
          rate: (connections / wallUs) * 1e6,
        },
        expected: phase.expected,
        received: phase.received,
        serverCores: cpuUs / wallUs,
      };
    }),
};
