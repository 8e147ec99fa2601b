// Every process that the bench starts, so that none is left behind, however the bench ends.
// Nothing else in bench/ may call Bun.spawn.
import type { SpawnOptions, Subprocess } from "bun";

const running = new Set<Subprocess>();
let ending = false;

type Settings = Pick<
  SpawnOptions.OptionsObject<"ignore", "ignore" | Bun.BunFile, "ignore" | "inherit" | Bun.BunFile>,
  "cwd" | "env" | "ipc" | "serialization" | "stdin" | "stdout" | "stderr"
>;

/** Starts a process that will be ended with the bench at the latest. Throws once that has begun. */
export function startChild(command: readonly string[], settings: Settings): Subprocess {
  if (ending) throw new Error("the bench is ending");
  const child = Bun.spawn([...command], settings);
  running.add(child);
  void child.exited.then(() => running.delete(child));
  return child;
}

/** Ends a process at once and waits until the kernel has it cleaned up. */
export async function endChild(child: Subprocess): Promise<void> {
  child.kill("SIGKILL");
  await child.exited;
}

/** Whether the bench is ending: what fails from then on fails because of that. */
export function isEnding(): boolean {
  return ending;
}

/** Ends all that still run, and lets nothing start any more. */
export async function endAllChildren(): Promise<void> {
  ending = true;
  await Promise.all([...running].map(endChild));
}
