// Memory of an idle connection: resident memory with many connections, less that with a few.
// The few stay open, so that whatever the first connections make the server load is not counted.
import { readRssBytes } from "../measure/usage";
import type { Scenario } from "../run/scenario";
import { runTarget } from "../run/target-run";
import { CONTROL, withWires } from "../targets";

const FEW = 100;
const SETTLE_MS = 2_000;
const QUICK_SETTLE_MS = 200;

export const idleMemory: Scenario = {
  name: "idle-memory",
  title: ({ connections }) => `Memory of ${connections.toLocaleString("en")} idle connections`,
  targets: withWires,
  figures: () => [
    { name: "rss", label: "server memory (RSS) per connection", unit: "KB" },
    { name: "base", label: "RSS before", unit: "MB" },
  ],
  run: (target, options) =>
    runTarget(target, options, async function* (run) {
      const { connections, quick } = options;
      const settle = () => Bun.sleep(quick ? QUICK_SETTLE_MS : SETTLE_MS);
      await run.open(0, FEW);
      await run.publish({ inFlight: 1, receivers: FEW, count: 20 });
      await settle();
      const before = readRssBytes(run.pid);
      yield;
      await run.open(FEW, FEW + connections);
      await settle();
      const after = readRssBytes(run.pid);
      const phase = await run.publish({ inFlight: 1, receivers: FEW + connections, count: 1 });
      return {
        values: { rss: (after - before) / connections / 1e3, base: before / 1e6 },
        expected: phase.expected,
        received: phase.received,
        serverCores: undefined,
      };
    }),
};

export const idleStreams: Scenario = {
  ...idleMemory,
  name: "idle-streams",
  title: ({ connections }) => `Memory of ${connections.toLocaleString("en")} idle EventSources`,
  control: "control-sse-publication",
  targets: (asked) => [
    ...(asked.includes("baton") ? ["baton-sse"] : []),
    ...(asked.includes(CONTROL) ? ["control-sse-publication"] : []),
    ...(asked.includes("centrifugo") ? ["centrifugo-sse"] : []),
  ],
};
