// Opening connections: what a crowd that comes (back) at once costs.
// Baton's clients register first; the other targets have no registration, so there both figures are one.
import { type Spent, Stage } from "../stage";
import type { Scenario } from "./scenario";

const WARM_MAX = 1_000;

function add(sum: { cpuUs: number; wallUs: number }, spent: Spent): void {
  sum.cpuUs += spent.cpuUs;
  sum.wallUs += spent.wallUs;
}

export const open: Scenario = {
  name: "open",
  title: ({ connections }) => `Opening connections, ${connections.toLocaleString("en")} of them`,
  figures: () => [
    {
      name: "whole",
      label: "server CPU for each with registration",
      unit: "µs",
      better: "less",
      charted: true,
    },
    {
      name: "connect",
      label: "server CPU for each connect alone",
      unit: "µs",
      better: "less",
      charted: true,
    },
    { name: "rate", label: "opened", unit: "1/s", better: "more", charted: false },
  ],
  run: (target, { connections, processes, slices }) =>
    Stage.play(target, processes, async function* (stage) {
      const warm = Math.min(WARM_MAX, connections);
      for (let round = 0; round < 2; round++) {
        await stage.enter(0, warm, false);
        await stage.empty();
      }
      const prepared = { cpuUs: 0, wallUs: 0 };
      const connected = { cpuUs: 0, wallUs: 0 };
      // Whole users in every slice.
      const share = 2 * Math.ceil(connections / slices / 2);
      for (let from = 0; from < connections; from += share) {
        yield;
        const to = Math.min(connections, from + share);
        add(prepared, await stage.prepare(from, to, false));
        add(connected, await stage.connect());
      }
      // Only a connection that a publication reaches is open.
      const phase = await stage.publish({ lanes: 1, receivers: connections, count: 1 });
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
