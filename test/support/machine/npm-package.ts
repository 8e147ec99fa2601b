// The package of `npm pack`.
import { expect } from "bun:test";
import { join } from "node:path";
import { version } from "../../../package.json";

const ROOT = join(import.meta.dir, "../../..");

/** Packs it into this folder; `env` must have Bun on its PATH. Returns the name of the file. */
export function packInto(folder: string, env: Record<string, string | undefined>): string {
  const command = ["npm", "pack", "--json", "--pack-destination", folder];
  const { exitCode, stderr } = Bun.spawnSync(command, { cwd: ROOT, env });
  expect([exitCode, stderr.toString()]).toEqual([0, expect.any(String)]);
  return `baton-${version}.tgz`;
}
