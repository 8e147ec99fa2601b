// Publishing to one user among many: it must cost the same however many others are connected.
// Sixteen users spread over all are published to, each by a sender of its own; nobody else may receive anything.
import type { Scenario } from "../run/scenario";
import { runTarget } from "../run/target-run";
import { CONNECTIONS_PER_USER, userOf } from "../targets/target";

const FEW = 100;
const IN_FLIGHT = 16;

/** A user for each sender, spread over the users of this many connections. */
function spreadUsers(connections: number): number[] {
  const last = userOf(connections - 1);
  return Array.from({ length: IN_FLIGHT }, (_, i) => 1 + Math.floor((i * last) / IN_FLIGHT));
}

export const userPublish: Scenario = {
  name: "user-publish",
  title: () =>
    `Publishing to one user with ${CONNECTIONS_PER_USER} connections, ${IN_FLIGHT} in flight`,
  // Centrifugo publishes to a user's own channel, for which its clients would need tokens.
  targets: (asked) => asked.filter((name) => name !== "centrifugo"),
  figures: ({ connections }) => [
    { name: "few", label: `server CPU per publication, ${FEW} connected`, unit: "µs" },
    {
      name: "many",
      label: `server CPU per publication, ${connections.toLocaleString("en")} connected`,
      unit: "µs",
    },
    { name: "growth", label: "many / few", unit: "×" },
  ],
  run: (target, options) =>
    runTarget(target, options, async function* (run) {
      const { connections, seconds } = options;
      const measure = async function* (connected: number) {
        const users = spreadUsers(connected);
        const plan = { inFlight: IN_FLIGHT, users, receivers: CONNECTIONS_PER_USER };
        await run.publish({ ...plan, seconds: seconds / 2 });
        return yield* run.publishInTurns(plan);
      };
      await run.open(0, FEW, "user");
      await run.warmUp();
      const few = yield* measure(FEW);
      yield;
      await run.open(FEW, connections, "user");
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
