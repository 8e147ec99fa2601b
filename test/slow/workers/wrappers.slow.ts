// The starts that the docs name: a relay ends when the program that runs it is stopped, and stays when it was started to stay.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { freePort } from "../../support/machine/free-port";
import { childrenOf } from "../../support/machine/processes";
import { until } from "../../support/wait";

const ROOT = join(import.meta.dir, "../../..");

/** npx would ask the registry whether it still has the package, and wait for more than a minute where it cannot be reached. */
const OFFLINE = { npm_config_prefer_offline: "true" };

/** Starts a command in a session of its own, with a relay on a free port. */
async function started(command: readonly string[], env: Record<string, string> = {}) {
  const port = freePort();
  const child = Bun.spawn(["setsid", ...command], {
    cwd: ROOT,
    env: { ...process.env, ...OFFLINE, PORT: String(port), BATON_SHUTDOWN_MS: "100", ...env },
    stdio: ["ignore", "ignore", "ignore"],
  });
  const serves = async () =>
    (await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined))?.status === 200;
  await until("the relay to listen", serves);
  return { child, serves };
}

const ENDED = "the relay to end";

test.each([
  ["npx", ["npx", "-y", "bun@1.4.4", "run", "server"]],
  ["bun run", ["bun", "run", "server"]],
  ["exec", ["sh", "-c", "exec bun src/main.ts"]],
])(
  "F1: a relay that was started with %s ends on SIGTERM and on SIGKILL to what was started",
  async (_, command) => {
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      const { child, serves } = await started(command);
      child.kill(signal);
      await until(ENDED, async () => !(await serves()));
    }
  },
);

test("F1: a relay with workers that was started with npx ends with it, and leaves no worker", async () => {
  const command = ["npx", "-y", "bun@1.4.4", "run", "server"];
  const { child, serves } = await started(command, { BATON_WORKERS: "2" });
  child.kill("SIGTERM");
  await until(ENDED, async () => !(await serves()));
});

test("F1: `bun run server` passes SIGHUP on, which replaces the workers", async () => {
  const { child, serves } = await started(["bun", "run", "server"], { BATON_WORKERS: "2" });
  const [relay = 0] = await childrenOf(child.pid);
  const before = await childrenOf(relay);
  expect(before).toHaveLength(2);
  child.kill("SIGHUP");
  const areReplaced = async () => {
    const now = await childrenOf(relay);
    return now.length === 2 && !now.some((pid) => before.includes(pid));
  };
  await until("the workers to be replaced", areReplaced);
  child.kill("SIGTERM");
  await until(ENDED, async () => !(await serves()));
});

test.each([
  ["bun run in the background", "bun run server &"],
  ["nohup", "nohup bun run server > /dev/null 2>&1 &"],
  ["bun itself", "bun src/main.ts &"],
])("F1: a relay that a shell has started with %s stays when the shell ends", async (_, line) => {
  const pidOf = `${line} echo $!`;
  const port = freePort();
  const shell = Bun.spawn(["sh", "-c", pidOf], {
    cwd: ROOT,
    env: { ...process.env, PORT: String(port), BATON_LOG_LEVEL: "silent" },
    stdio: ["ignore", "pipe", "ignore"],
  });
  const reader = shell.stdout.getReader();
  const pid = Number(new TextDecoder().decode((await reader.read()).value));
  const serves = async () =>
    (await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined))?.status === 200;
  await until("the relay to listen", serves);
  await Bun.sleep(2_000);
  expect(await serves()).toBe(true);
  process.kill(pid, "SIGTERM");
  await until(ENDED, async () => !(await serves()));
});
