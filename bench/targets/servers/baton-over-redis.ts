// A number of Baton nodes, at PORT and the ports after it, and a Redis server of their own at the next one.
// All of them end with this process, however it ends.
import { join } from "node:path";
import { DIE_WITH_PARENT } from "../target";

const count = Number(process.argv[2] ?? "1");
const port = Number(process.env.PORT);
const redisPort = port + count;
const redis = Bun.spawn(
  [
    ...[...DIE_WITH_PARENT, "redis-server", "--port", String(redisPort), "--bind", "127.0.0.1"],
    ...["--save", "", "--appendonly", "no"],
  ],
  { stdin: "ignore", stdout: "ignore", stderr: "inherit" },
);
const nodes = Array.from({ length: count }, (_, i) =>
  Bun.spawn([...DIE_WITH_PARENT, "bun", join(import.meta.dir, "../../../src/main.ts")], {
    env: {
      ...process.env,
      PORT: String(port + i),
      BATON_ENGINE: `redis://127.0.0.1:${redisPort}`,
    },
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
  }),
);
await Promise.race([redis.exited, ...nodes.map((node) => node.exited)]);
process.exit(1);
