// The binary as the Dockerfile's image has it, without a container engine: a root file system that nobody can write to, with that
// file and the libraries that it loads and nothing else in it, and a user without rights.
import { expect, test } from "bun:test";
import { cpSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Client } from "../../support/clients/client";
import { ROOT } from "../../support/docs/pages";
import { Folder } from "../../support/machine/folder";
import { childrenOf } from "../../support/machine/processes";
import { RelayProcess } from "../../support/relay/relay-process";

const BINARY = "/usr/local/bin/baton";

/** Builds the binary and puts it into a new root, with the libraries that it names. */
function imageIn(root: string): void {
  const outdir = join(root, dirname(BINARY));
  for (const folder of ["usr/local/bin", "var/lib/baton", "proc", "dev"]) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  const command = [process.execPath, "docs/deploy/binary.ts", "--outdir", outdir];
  expect(Bun.spawnSync(command, { cwd: ROOT, stdout: "ignore", stderr: "inherit" }).exitCode).toBe(
    0,
  );
  const libraries = Bun.spawnSync(["ldd", join(root, BINARY)]).stdout.toString();
  for (const [, path = ""] of libraries.matchAll(/(?:=> |^\s)(\/\S+)/gm)) {
    cpSync(path, join(root, path), { recursive: true, dereference: true });
  }
}

/** Runs what follows in this root, as the user of the image. */
function contained(root: string): string[] {
  const [, user = "", group = ""] =
    /^USER (\d+):(\d+)$/m.exec(readFileSync(join(ROOT, "Dockerfile"), "utf8")) ?? [];
  return [
    Bun.which("bwrap") ?? "bwrap",
    "--unshare-user",
    "--uid",
    user,
    "--gid",
    group,
    "--cap-drop",
    "ALL",
  ].concat([
    "--ro-bind",
    root,
    "/",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
    "--chdir",
    "/var/lib/baton",
  ]);
}

test("the binary serves with workers in a root that nobody can write to, as a user without rights", async () => {
  using folder = new Folder();
  imageIn(folder.path);
  const through = contained(folder.path);
  const env = { BATON_WORKERS: "2", BATON_SHUTDOWN_MS: "100" };
  await using relay = await RelayProcess.start(env, { binary: BINARY, through });
  const client = await Client.open(await relay.register());
  await client.settled();
  await relay.publish("tech", "hi");
  expect(await client.next()).toBe("hi");
  client.drop();

  const health = (url: string) =>
    Bun.spawn([...through, BINARY, "health", "--url", url], { stdout: "ignore", stderr: "ignore" })
      .exited;
  expect(await health(relay.url)).toBe(0);
  const [inside = 0] = await childrenOf(relay.pid);
  process.kill(inside, "SIGTERM");
  expect(await relay.exited).toBe(0);
  expect(await health(relay.url)).toBe(1);
});
