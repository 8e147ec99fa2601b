// The commands that call nobody: help, version, completion, and those that read the settings.
import { describe, expect, test } from "bun:test";
import { version } from "../../package.json";
import { SECRET } from "../support/centrifuge/sdk";
import { Baton, PROGRAM } from "../support/cli/baton";
import { RelayProcess } from "../support/relay/relay-process";
import { startRelay } from "../support/relay/test-relay";

const COMMANDS = ["serve", "publish", "subscribe", "explain", "token", "vapid", "check", "health"];

test("baton --version says the version", async () => {
  const { code, stdout } = await Baton.run(["--version"]);
  expect(code).toBe(0);
  expect(stdout).toStartWith(`baton ${version} (`);
});

test.each(COMMANDS)("baton %s --help has examples", async (command) => {
  const { code, stdout, stderr } = await Baton.run([command, "--help"]);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toContain(`Usage: baton ${command}`);
  expect(stdout).toContain(`baton ${command}`);
  expect(stdout).toContain("Examples:\n  $ ");
});

test("a command or flag that does not exist ends with 2, and with the one that may be meant", async () => {
  const command = await Baton.run(["publsh", "t", "m"]);
  expect([command.code, command.stderr]).toEqual([2, expect.stringContaining("publish")]);
  const flag = await Baton.run(["publish", "t", "m", "--usr", "1"]);
  expect([flag.code, flag.stderr]).toEqual([2, expect.stringContaining("--user")]);
  for (const { stderr } of [command, flag]) {
    expect(stderr).toMatch(/^baton: unknown .*\n.*\nAdd --help to see what it takes\.\n$/);
  }
});

test("baton explain without a user and a position ends with 2, and names the flags", async () => {
  const { code, stderr } = await Baton.run(["explain", "tech"]);
  expect([code, stderr]).toEqual([2, expect.stringContaining("--user, --position")]);
});

test.each([
  [["pub"], ["publish"]],
  [["publish", "--us"], ["--user"]],
  [
    ["completion", ""],
    ["bash", "fish", "zsh"],
  ],
  [["subscribe", "tech", ""], []],
  [["sources", "d"], ["ddl"]],
  [["sources", "ddl", "--t"], ["--table"]],
])("a shell is told what completes %j", async (typed, expected) => {
  const { stdout } = await Baton.run(["complete", "--", ...typed]);
  const words = stdout.split("\n").map((line) => line.split("\t")[0] ?? "");
  expect(words.filter((word) => /^[a-z-]/.test(word)).toSorted()).toEqual(expected);
});

test("bash completes with what `baton complete` says, and evaluates nothing of what was typed", async () => {
  const { stdout: script } = await Baton.run(["completion", "bash"]);
  const program = PROGRAM.map((word) => `'${word}'`).join(" ");
  const complete = (words: string) =>
    `COMP_WORDS=(${words}); COMP_CWORD=$((${"$"}{#COMP_WORDS[@]} - 1)); _baton; echo "${"$"}{COMPREPLY[*]}"`;
  const typed = ["baton pu", "baton publish --us", "baton publish '$(echo evaluated >&2)' --us"];
  const lines = [`baton() { ${program} "$@"; }`, script, ...typed.map(complete)];
  const shell = Bun.spawnSync(["bash", "--norc", "-c", lines.join("\n")]);
  expect(shell.stdout.toString()).toBe("publish\n--user\n--user\n");
  expect(shell.stderr.toString()).toBe("");
});

test("a command whose output cannot be kept says so, with 1", async () => {
  const command = PROGRAM.map((word) => `'${word}'`).join(" ");
  const shell = Bun.spawnSync(["sh", "-c", `${command} vapid > /dev/full`]);
  expect([shell.exitCode, shell.stderr.toString()]).toEqual([
    1,
    expect.stringMatching(/^baton: The output cannot be written: ENOSPC.*\n$/),
  ]);
});

describe("baton serve", () => {
  test.each(["1", "2"])("runs a relay with %s workers", async (workers) => {
    await using relay = await RelayProcess.start(
      { BATON_WORKERS: workers, BATON_SHUTDOWN_MS: "50" },
      { args: ["serve"] },
    );
    expect((await fetch(`${relay.url}/health`)).status).toBe(200);
    relay.signal("SIGTERM");
    expect(await relay.exited).toBe(0);
  });
});

describe("baton token", () => {
  test("signs a token that a relay with the same secret takes", async () => {
    const env = { BATON_TOKEN_SECRET: SECRET };
    await using relay = await startRelay(env);
    const { code, stdout } = await Baton.run(["token", "--user", "42"], { env });
    expect(code).toBe(0);
    const client = await relay.open(`ws${relay.url.slice(4)}/connection/websocket`);
    client.send(JSON.stringify({ id: 1, connect: { token: stdout.trim() } }));
    const { connect } = JSON.parse(await client.next());
    // Seconds may have passed since it was signed.
    expect(connect.ttl).toBeGreaterThan(3_000);
    expect(connect.ttl).toBeLessThanOrEqual(3_600);
  });

  test.each([
    [["--user", ""], "--user: A user_id must not be empty"],
    [["--user", "1", "--topic", ""], "--topic: A topic name must not be empty"],
  ])("refuses %j, which a variable of a shell gives that is not set", async (flags, sentence) => {
    const env = { BATON_TOKEN_SECRET: SECRET };
    const { code, stdout, stderr } = await Baton.run(["token", ...flags], { env });
    expect([code, stdout, stderr]).toEqual([2, "", expect.stringContaining(sentence)]);
  });

  test("refuses a time without a unit, and to sign without a secret", async () => {
    const env = { BATON_TOKEN_SECRET: SECRET };
    const time = await Baton.run(["token", "--user", "1", "--ttl", "60"], { env });
    expect([time.code, time.stderr]).toEqual([2, expect.stringContaining("10m")]);
    const secret = await Baton.run(["token", "--user", "1"]);
    expect([secret.code, secret.stderr]).toEqual([
      2,
      expect.stringContaining("BATON_TOKEN_SECRET"),
    ]);
  });
});

describe("baton check", () => {
  test("ends with 0 for settings that a relay can start with, and says what is unsafe", async () => {
    const good = await Baton.run(["check"]);
    expect([good.code, good.stdout]).toEqual([0, expect.stringContaining("can start")]);
    const env = { BATON_API_KEYS: "short-key", BATON_PINGMS: "1" };
    const unsafe = await Baton.run(["check"], { env });
    expect(unsafe.code).toBe(0);
    expect(unsafe.stdout).toContain(
      "BATON_PINGMS is not a setting of Baton; perhaps BATON_PING_MS",
    );
    expect(unsafe.stdout).toContain("easy to guess");
    expect(unsafe.stdout).not.toContain("short-key");
    expect((await Baton.run(["check", "--strict"], { env })).code).toBe(1);
    const { stdout } = await Baton.run(["check", "--json"], { env });
    expect(JSON.parse(stdout).warnings).toHaveLength(2);
  });

  test("ends with 1 and the sentence of a start that would fail", async () => {
    const { code, stderr } = await Baton.run(["check"], { env: { HOST: "0.0.0.0" } });
    expect([code, stderr]).toEqual([1, expect.stringContaining("BATON_API_KEYS")]);
  });
});
