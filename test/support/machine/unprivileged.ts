// Runs a server that refuses to run as root, as the user nobody where the tests run as root.
import { chownSync } from "node:fs";

/** Debian's user and group of that name. */
const NOBODY = 65_534;

/** The command that runs the same as an unprivileged user, in the same process. */
export function unprivileged(command: readonly string[]): string[] {
  if (process.getuid?.() !== 0) return [...command];
  const ids = ["--reuid", String(NOBODY), "--regid", String(NOBODY), "--clear-groups"];
  return ["setpriv", ...ids, "--", ...command];
}

/** Gives a folder to the user that such a command runs as. */
export function giveAway(folder: string): void {
  if (process.getuid?.() === 0) chownSync(folder, NOBODY, NOBODY);
}
