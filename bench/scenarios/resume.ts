// A crowd that comes back at once with its positions, and has missed some publications, beside the same crowd's first
// coming: registration, connect and first command.
import { Stage } from "../stage";
import type { Scenario } from "./scenario";

const MISSED = 10;

export const resume: Scenario = {
  name: "resume",
  title: ({ connections }) =>
    `${connections.toLocaleString("en")} clients come back at once, each missed ${MISSED}`,
  targets: (asked) => (asked.includes("baton") ? ["baton-json"] : []),
  figures: () => [
    {
      name: "cold",
      label: "server CPU for each, the first time",
      unit: "µs",
      better: "less",
      charted: true,
    },
    {
      name: "resumed",
      label: "server CPU for each that comes back",
      unit: "µs",
      better: "less",
      charted: true,
    },
    { name: "ratio", label: "back / first", unit: "×", better: "less", charted: false },
  ],
  run: (target, { connections, processes, quick }) =>
    Stage.play(target, processes, async function* (stage) {
      const warm = Math.min(1_000, connections);
      for (let round = 0; round < 2; round++) {
        await stage.enter(0, warm, false);
        await stage.empty();
      }
      await stage.warmPublishing(quick);
      yield;
      const registered = await stage.prepare(0, connections, false);
      const connected = await stage.connect();
      await stage.drop();
      const back = await stage.comeBack(connections, MISSED);
      const cold = (registered.cpuUs + connected.cpuUs) / connections;
      const resumed = back.cpuUs / connections;
      return {
        values: { cold, resumed, ratio: resumed / cold },
        expected: back.expected,
        received: back.received,
        serverCores: back.cpuUs / back.wallUs,
      };
    }),
};
