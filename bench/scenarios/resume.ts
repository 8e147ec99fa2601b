// Many clients that reconnect at once with their positions after missing some publications, compared with the first time
// that they register, connect and send their first command.
import type { Scenario } from "../run/scenario";
import { runTarget } from "../run/target-run";

const MISSED = 10;
/** Connections that are opened and closed before the measurement, so that the code is compiled. */
const WARM_MAX = 1_000;

export const resume: Scenario = {
  name: "resume",
  title: ({ connections }) =>
    `${connections.toLocaleString("en")} clients reconnect at once, each missed ${MISSED} publications`,
  targets: (asked) => (asked.includes("baton") ? ["baton-json"] : []),
  figures: () => [
    { name: "cold", label: "server CPU per client, first connect", unit: "µs" },
    { name: "resumed", label: "server CPU per client, reconnect", unit: "µs" },
    { name: "ratio", label: "reconnect / first", unit: "×" },
  ],
  run: (target, options) =>
    runTarget(target, options, async function* (run) {
      const { connections } = options;
      for (let round = 0; round < 2; round++) {
        await run.open(0, Math.min(WARM_MAX, connections));
        await run.disconnect();
      }
      await run.warmUp();
      yield;
      const registered = await run.prepare(0, connections);
      const connected = await run.connect();
      await run.disconnect();
      const back = await run.reconnect(connections, MISSED);
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
