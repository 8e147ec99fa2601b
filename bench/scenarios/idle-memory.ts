// Memory of a connection that does nothing: resident memory with many open, less that with a few.
// The few stay open, so that what the first connections make the server load does not count.
import { readMemory } from "../measure/usage";
import { Stage } from "../stage";
import type { Scenario } from "./scenario";

const FEW = 100;
const SETTLE_MS = 2_000;
const QUICK_SETTLE_MS = 200;

export const idleMemory: Scenario = {
  name: "idle-memory",
  title: ({ connections }) => `Memory, ${connections.toLocaleString("en")} idle connections`,
  figures: () => [
    {
      name: "rss",
      label: "server memory (RSS) for each",
      unit: "KB",
      better: "less",
      charted: true,
    },
    { name: "base", label: "RSS before", unit: "MB", better: "less", charted: false },
  ],
  run: (target, { connections, processes, quick }) =>
    Stage.play(target, processes, async function* (stage) {
      const settle = () => Bun.sleep(quick ? QUICK_SETTLE_MS : SETTLE_MS);
      await stage.enter(0, FEW, false);
      await stage.publish({ lanes: 1, receivers: FEW, count: 20 });
      await settle();
      const before = readMemory(stage.pid).rssBytes;
      yield;
      await stage.enter(FEW, FEW + connections, false);
      await settle();
      const after = readMemory(stage.pid).rssBytes;
      const phase = await stage.publish({ lanes: 1, receivers: FEW + connections, count: 1 });
      return {
        values: { rss: (after - before) / connections / 1e3, base: before / 1e6 },
        expected: phase.expected,
        received: phase.received,
        serverCores: undefined,
      };
    }),
};
