// A number of Baton nodes, at PORT and the ports after it, and a Redis server of their own at the next one.
// All of them end with this process, however it ends.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const count = Number(process.argv[2] ?? "1");
const port = Number(process.env.PORT);
// The kernel kills the command when this process dies.
const DIE_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"];

const folder = mkdtempSync(join(tmpdir(), "baton-bench-redis-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const redisPort = port + count;
if (Bun.which("redis-server") === null) {
  throw new Error("this target needs redis-server: apt-get install redis-server");
}
const redis = Bun.spawn(
  [
    ...[...DIE_WITH_PARENT, "redis-server", "--port", String(redisPort), "--bind", "127.0.0.1"],
    ...["--dir", folder, "--save", "", "--appendonly", "no"],
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
