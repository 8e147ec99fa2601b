// The programs through which this one was started by a script: `bun run server`, npm above it with `npx bun run server`, or `npx baton`. npm
// passes no signal on, so a relay would stay behind when it is stopped, with the port and the file. Only those chains of
// processes are known here that wait for the script: whatever was started to stay (exec, nohup, setsid, systemd) is none. Linux only.
import { procFile } from "./proc";

const CHECK_MS = 500;

/** A process and the one that started it. */
interface Link {
  readonly pid: number;
  readonly parent: number;
}

/** Calls `died` once, when one of the programs that run this script has died. Does nothing where there are none. */
export function watchRunner(died: () => void): void {
  const links = runnerOf(process.pid);
  if (links.length === 0) return;
  const timer = setInterval(() => {
    if (links.every(({ pid, parent }) => parentOf(pid) === parent)) return;
    clearInterval(timer);
    died();
  }, CHECK_MS);
  timer.unref();
}

/** The links from this process up to the program that was called. */
function runnerOf(pid: number): Link[] {
  const runner = linkOf(pid);
  if (runner === undefined) return [];
  if (!/^\S*bun(\.exe)? run server$/.test(commandOf(runner.parent))) return packageRunnerOf(runner);
  const shell = linkOf(runner.parent);
  // dash stays between the two, other shells may not.
  if (shell === undefined) return [runner];
  if (isNpm(shell.parent)) return [runner, shell];
  const npm = /^\S*sh -c .* run server$/.test(commandOf(shell.parent))
    ? linkOf(shell.parent)
    : undefined;
  return npm !== undefined && isNpm(npm.parent) ? [runner, shell, npm] : [runner];
}

/** The links up to the npm that runs the command of the package; a shell may stay between the two. */
function packageRunnerOf(runner: Link): Link[] {
  const isNpmOfPackage = (pid: number) => /^npm exec (.* )?baton( serve)?$/.test(commandOf(pid));
  if (isNpmOfPackage(runner.parent)) return [runner];
  const shell = /^\S*sh -c '?baton'?( serve)?$/.test(commandOf(runner.parent))
    ? linkOf(runner.parent)
    : undefined;
  return shell !== undefined && isNpmOfPackage(shell.parent) ? [runner, shell] : [];
}

function isNpm(pid: number): boolean {
  return /^npm exec .* run server *$/.test(commandOf(pid));
}

function linkOf(pid: number): Link | undefined {
  const parent = parentOf(pid);
  return parent === undefined ? undefined : { pid, parent };
}

/** Source: the kernel's documentation of /proc/<pid>/stat, where a command in parentheses comes before the state. */
function parentOf(pid: number): number | undefined {
  const parent = Number(/\) \S (\d+) [^)]*$/.exec(procFile(pid, "stat"))?.[1]);
  return Number.isInteger(parent) ? parent : undefined;
}

function commandOf(pid: number): string {
  return procFile(pid, "cmdline").replaceAll("\0", " ").trim();
}
