// Publishing to one user among many: must cost the same, however many others are connected.
// Sixteen users spread over all are published to, one from each lane; nobody else may get anything.
import { Stage } from "../stage";
import { CONNECTIONS_PER_USER, userOf } from "../targets/target";
import type { Scenario } from "./scenario";

const FEW = 100;
const LANES = 16;

/** One user for each lane, spread over the users of this many connections. */
function spreadUsers(connections: number): number[] {
  const last = userOf(connections - 1);
  return Array.from({ length: LANES }, (_, lane) => 1 + Math.floor((lane * last) / LANES));
}

export const userPublish: Scenario = {
  name: "user-publish",
  title: () => `Publish to one user with ${CONNECTIONS_PER_USER} connections, ${LANES} in flight`,
  figures: ({ connections }) => [
    {
      name: "few",
      label: `server CPU for each, ${FEW} connected`,
      unit: "µs",
      better: "less",
      charted: true,
    },
    {
      name: "many",
      label: `server CPU for each, ${connections.toLocaleString("en")} connected`,
      unit: "µs",
      better: "less",
      charted: true,
    },
    { name: "growth", label: "many / few", unit: "×", better: "less", charted: false },
  ],
  run: (target, { connections, processes, seconds, slices, quick }) =>
    Stage.play(target, processes, async function* (stage) {
      const measure = async function* (connected: number) {
        const users = spreadUsers(connected);
        const plan = { lanes: LANES, users, receivers: CONNECTIONS_PER_USER };
        await stage.publish({ ...plan, seconds: seconds / 2 });
        return yield* stage.publishInTurns(plan, seconds, slices);
      };
      await stage.enter(0, FEW, true);
      await stage.warmPublishing(quick);
      const few = yield* measure(FEW);
      yield;
      await stage.enter(FEW, connections, true);
      const many = yield* measure(connections);
      const fewCpu = few.cpuUs / few.publications;
      const manyCpu = many.cpuUs / many.publications;
      return {
        values: { few: fewCpu, many: manyCpu, growth: manyCpu / fewCpu },
        expected: few.expected + many.expected,
        received: few.received + many.received,
        serverCores: (few.serverCores + many.serverCores) / 2,
      };
    }),
};
