// The package of `npm pack`: what is in it, and that it works where npm has installed it, with and without Bun.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { version } from "../../../package.json";
import { Folder } from "../../support/machine/folder";
import { freePort } from "../../support/machine/free-port";
import { packInto } from "../../support/machine/npm-package";
import { until } from "../../support/wait";

let folder: Folder;
/** With Bun on it, and what npm needs. */
let path: string;

function run(command: readonly string[], cwd: string, env: Record<string, string> = {}) {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], {
    cwd,
    env: { ...process.env, PATH: path, ...env },
  });
  return { code: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

/** The command, as npm has linked it. */
const baton = (args: readonly string[], env: Record<string, string> = {}) =>
  run([join(folder.path, "node_modules/.bin/baton"), ...args], folder.path, env);

beforeAll(() => {
  folder = new Folder();
  mkdirSync(join(folder.path, "bin"));
  symlinkSync(process.execPath, join(folder.path, "bin/bun"));
  path = `${join(folder.path, "bin")}:${process.env.PATH}`;
  const file = packInto(folder.path, { ...process.env, PATH: path });
  writeFileSync(join(folder.path, "package.json"), '{"private": true}');
  // A program that has settings of its own in files must not change what Baton does.
  writeFileSync(join(folder.path, ".env"), "BATON_API_KEYS=a-key-of-another-program\n");
  const quiet = ["--no-audit", "--no-fund", "--prefer-offline"];
  const install = ["npm", "install", ...quiet, `./${file}`];
  const installed = run(install, folder.path);
  expect(installed.code, installed.stderr).toBe(0);
});
afterAll(() => folder[Symbol.dispose]());

test("the package has src, the client as JavaScript and declarations, and nothing of tests or benches", () => {
  const { stdout } = run(["tar", "tzf", `baton-${version}.tgz`], folder.path);
  const others = stdout
    .trim()
    .split("\n")
    .filter((file) => !file.startsWith("package/src/"));
  expect(others.toSorted()).toEqual([
    "package/LICENSE",
    "package/README.md",
    "package/dist/npm/client/client.d.ts",
    "package/dist/npm/client/client.js",
    "package/dist/npm/library/answers.d.ts",
    "package/dist/npm/library/contract.d.ts",
    "package/dist/npm/library/http-routes.d.ts",
    "package/dist/npm/library/index.d.ts",
    "package/dist/npm/library/plugin.d.ts",
    "package/dist/npm/library/relay-error.d.ts",
    "package/dist/npm/library/relay-settings.d.ts",
    "package/dist/npm/library/topics.d.ts",
    "package/dist/npm/relay/contracts/errors.d.ts",
    "package/dist/npm/relay/contracts/publication.d.ts",
    "package/package.json",
  ]);
});

test("npx baton says its version", () => {
  const { code, stdout } = run(["npx", "--no-install", "baton", "--version"], folder.path);
  expect([code, stdout]).toEqual([0, expect.stringContaining(`baton ${version} (`)]);
});

test.each(["1", "2"])(
  "the command serves with %s workers, publishes and subscribes",
  async (workers) => {
    const PORT = String(freePort());
    const options = { cwd: folder.path, stdout: "pipe", stderr: "ignore" } as const;
    const env = { ...process.env, PATH: path, PORT, BATON_SHUTDOWN_MS: "50" };
    const program = join(folder.path, "node_modules/.bin/baton");
    const relay = Bun.spawn([program, "serve"], {
      ...options,
      env: { ...env, BATON_WORKERS: workers },
    });
    await until("the relay to be ready", () => baton(["health"], { PORT }).code === 0);
    const subscriber = Bun.spawn([program, "subscribe", "t", "--count", "1"], { ...options, env });
    const hasEnded = () => {
      baton(["publish", "t", "hi"], { PORT });
      return subscriber.exitCode === 0;
    };
    await until("the subscriber to have one", hasEnded);
    const [line = ""] = (await new Response(subscriber.stdout).text()).split("\n");
    expect(JSON.parse(line)).toMatchObject({ topic: "t", data: "hi" });
    // The command has become Bun: the signal reaches the relay.
    relay.kill("SIGTERM");
    expect(await relay.exited).toBe(0);
  },
);

test.each(["SIGTERM", "SIGKILL"] as const)(
  "F1: a relay that was started with npx baton ends on %s to npx",
  async (signal) => {
    const PORT = String(freePort());
    const npx = Bun.spawn(["npx", "--no-install", "baton", "serve"], {
      cwd: folder.path,
      env: { ...process.env, PATH: path, PORT, BATON_SHUTDOWN_MS: "50" },
      stdio: ["ignore", "ignore", "ignore"],
    });
    const serves = async () =>
      (await fetch(`http://127.0.0.1:${PORT}/health`).catch(() => undefined))?.status === 200;
    await until("the relay to be ready", serves);
    npx.kill(signal);
    await until("the relay to end", async () => !(await serves()));
  },
);

test("without Bun, the command says how to get it", () => {
  const { code, stderr } = run([join(folder.path, "node_modules/.bin/baton")], folder.path, {
    PATH: folder.path,
  });
  expect([code, stderr]).toEqual([127, expect.stringContaining("npm install bun@")]);
});
