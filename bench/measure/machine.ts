// The machine and the versions that were measured: a figure means nothing without them.
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";

export interface Machine {
  readonly cores: number;
  readonly processor: string;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly bun: string;
  readonly node: string;
  /** The commit that was measured, followed by "+" if the sources differ from it. */
  readonly commit: string;
}

function output(command: readonly string[]): string {
  try {
    const { stdout, success } = Bun.spawnSync([...command], {
      cwd: join(import.meta.dir, "../.."),
      stderr: "ignore",
    });
    return success ? stdout.toString().trim() : "";
  } catch {
    return "";
  }
}

/** Asks the operating system, node and git; "unknown" stands for what they do not say. */
export function describeMachine(): Machine {
  const commit = output(["git", "rev-parse", "--short=12", "HEAD"]);
  const changed = output([
    "git",
    "status",
    "--porcelain",
    "--",
    "src",
    "bench",
    "package.json",
    "bun.lock",
  ]);
  return {
    cores: cpus().length,
    processor: cpus()[0]?.model.trim() ?? "unknown",
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    bun: Bun.version,
    node: output(["node", "--version"]).replace("v", "") || "unknown",
    commit: commit === "" ? "unknown" : commit + (changed === "" ? "" : "+"),
  };
}
