// Every process that the bench starts, so that none outlives the bench, however that ends: the kernel kills it when the bench is
// killed. Nothing else in the bench's own process may call Bun.spawn for a process that keeps running.
import type { SpawnOptions, Subprocess } from "bun";
import { DIE_WITH_PARENT } from "../targets/target";

const running = new Set<Subprocess>();
let ending = false;

type Settings = Pick<
  SpawnOptions.OptionsObject<"ignore", "ignore" | Bun.BunFile, "ignore" | "inherit" | Bun.BunFile>,
  "cwd" | "env" | "ipc" | "stdin" | "stdout" | "stderr"
>;

/** Starts a process that ends with the bench at the latest. Throws once the bench is ending. */
export function startChild(command: readonly string[], settings: Settings): Subprocess {
  if (ending) throw new Error("the bench is ending");
  const child = Bun.spawn([...DIE_WITH_PARENT, ...command], settings);
  running.add(child);
  void child.exited.then(() => running.delete(child));
  return child;
}

/** Kills a process and waits until the kernel has cleaned it up. */
export async function endChild(child: Subprocess): Promise<void> {
  child.kill("SIGKILL");
  await child.exited;
}

/** Whether the bench is ending: whatever fails from then on fails because of that. */
export function isEnding(): boolean {
  return ending;
}

/** Kills all processes that still run, and lets no new one start. */
export async function endAllChildren(): Promise<void> {
  ending = true;
  await Promise.all([...running].map(endChild));
}
