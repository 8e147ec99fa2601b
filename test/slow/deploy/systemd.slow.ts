// The unit of docs/deploy/ as systemd's own tools see it, and a relay with workers and a file within what the unit allows.
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "../../support/clients/client";
import { ROOT } from "../../support/docs/pages";
import { Folder } from "../../support/machine/folder";
import { childrenOf } from "../../support/machine/processes";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const UNIT = readFileSync(join(ROOT, "docs/deploy/baton.service"), "utf8");

/** What SQLite tries as root only, and does without. */
const AS_ROOT = ["fchown"];

/** The exit code and the output of one of systemd's commands. */
function analyze(...args: string[]): [number, string] {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["systemd-analyze", ...args]);
  return [exitCode, `${stdout}${stderr}`];
}

/** The calls in a group such as @system-service, with those of the groups in it. */
function callsOf(group: string): string[] {
  const lines = analyze("syscall-filter", group)[1].split("\n").slice(1);
  const names = lines.map((line) => line.trim()).filter((name) => /^@?[a-z]\w*/.test(name));
  return names.flatMap((name) => (name.startsWith("@") ? callsOf(name) : name));
}

/** The groups of SystemCallFilter= that allow, or with ~ forbid. */
function filterGroups(sign: "" | "~"): string[] {
  const lines = UNIT.matchAll(/^SystemCallFilter=(~?)(.*)$/gm);
  return [...lines].flatMap(([, of, groups = ""]) => (of === sign ? groups.split(" ") : []));
}

test("the unit is one that systemd takes, and exposes little", () => {
  using folder = new Folder();
  const path = join(folder.path, "baton.service");
  // The binary need not be installed where tests run.
  writeFileSync(path, UNIT.replace("/usr/local/bin/baton", "/bin/true"));
  expect(analyze("verify", path)).toEqual([0, ""]);
  const [, said] = analyze("security", "--offline=true", path);
  const [, exposure] = /exposure level for baton.service: ([\d.]+)/.exec(said) ?? [];
  expect(Number(exposure)).toBeLessThan(2);
});

test("a relay with workers and a file calls nothing, and opens no kind of socket, that the unit forbids", async () => {
  using folder = new Folder();
  const trace = join(folder.path, "trace");
  const through = ["strace", "-f", "-qq", "-e", "signal=none", "-o", trace];
  const env = {
    BATON_WORKERS: "3",
    BATON_ENGINE: `sqlite:${folder.path}/baton.db`,
    BATON_SHUTDOWN_MS: "100",
    NOTIFY_SOCKET: join(folder.path, "nobody"),
  };
  await using relay = await RelayProcess.start(env, { through });
  const client = await Client.open(await relay.register());
  await client.settled();
  await relay.publish("tech", "m");
  expect(await client.next()).toBe("m");
  const [supervisor = 0] = await childrenOf(relay.pid);
  process.kill(supervisor, "SIGHUP");
  await until("the workers to be replaced", () =>
    relay.output.includes("all workers have been replaced"),
  );
  process.kill(supervisor, "SIGTERM");
  expect(await relay.exited).toBe(0);

  const lines = readFileSync(trace, "utf8").split("\n");
  const calls = new Set(lines.flatMap((line) => /^\d+ +(\w+)\(/.exec(line)?.[1] ?? []));
  expect(calls.size).toBeGreaterThan(50);
  const allowed = new Set(filterGroups("").flatMap(callsOf));
  for (const call of filterGroups("~").flatMap(callsOf)) allowed.delete(call);
  const forbidden = [...calls].filter((call) => !allowed.has(call) && !AS_ROOT.includes(call));
  expect(forbidden).toEqual([]);

  const families = new Set(lines.flatMap((line) => /\bsocket\((AF_\w+)/.exec(line)?.[1] ?? []));
  const [, listed = ""] = /^RestrictAddressFamilies=(.*)$/m.exec(UNIT) ?? [];
  expect(families).toContain("AF_INET");
  expect([...families].filter((family) => !listed.split(" ").includes(family))).toEqual([]);
});
