// What a user of Redis must be allowed to do, and what is said where a right is missing or Redis answers with an error. Row G11 of
// the fault catalogue.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { PUBLISH_SCRIPTS } from "../../../src/engines/redis/publishing/publish-script";
import { runIdOf } from "../../../src/engines/redis/server/diagnosis";
import { explain, isFinal } from "../../../src/engines/redis/server/error-answers";
import { PROBE_SCRIPTS } from "../../../src/engines/redis/server/permissions";
import { REGISTRATION_SCRIPTS } from "../../../src/engines/redis/server/registration-scripts";
import { SERVER_SCRIPTS } from "../../../src/engines/redis/server/server-scripts";
import { TOPIC_SCRIPTS } from "../../../src/engines/redis/server/topic-scripts";
import { QUEUE_SCRIPTS } from "../../../src/engines/redis/store/queues";
import { RECORD_SCRIPTS } from "../../../src/engines/redis/store/records";
import { example } from "../../support/docs/pages";
import { RedisNode } from "../../support/engines/redis-node";
import { RedisServer } from "../../support/engines/redis-server";
import { until } from "../../support/wait";

setDefaultTimeout(120_000);

/** Commands that are sent outside scripts. */
const DIRECT = ["ping", "select", "info", "time", "eval", "evalsha", "subscribe", "unsubscribe"];
/** Commands that the probe tries. */
const SCRIPT_COMMANDS = [...PROBE_SCRIPTS.PROBE.text.matchAll(/^try\('(\w+)'/gm)].map(
  ([, name = ""]) => name,
);
const COMMANDS = [...DIRECT, ...SCRIPT_COMMANDS.map((name) => name.toLowerCase())];

/** What docs/operations.md says. */
const ACL = example("docs/operations.md", "redis-user.txt").trim();

const prefix = "baton";
let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

const url = () => `redis://baton:secret@127.0.0.1:${server.port}/2`;

async function setUser(...more: string[]): Promise<void> {
  await server.command("ACL", "SETUSER", "baton", "reset");
  for (const line of ACL.split("\n")) {
    const [name = "", ...words] = line.split(" ");
    await server.command(name, ...words);
  }
  if (more.length > 0) await server.command("ACL", "SETUSER", "baton", ...more);
}

async function exercise(nodes: Awaited<ReturnType<typeof RedisNode.pair>>): Promise<void> {
  const { one, two } = nodes;
  await one.follow("t");
  await two.publish("1", "t", "key");
  for (let i = 2; i < 5; i++) await two.publish(String(i), "t", `key ${i}`);
  await one.untilDelivered("1", "2", "3", "4");
  await two.engine.forget("t");
  one.engine.unfollow("t");
  await one.follow("u");
  const { registrations } = one.engine;
  await registrations.add({ id: "r", user: "u" });
  expect(await registrations.claim("r")).toMatchObject({ user: "u" });
  expect(await two.engine.registrations.remove("r")).toEqual({ wasRemote: true });
  expect(await one.engine.sendToNodes("x")).toBe(1);
  await until("the revocation", () => one.revoked.length > 0);
  const { engine } = one;
  const records = [{ publication: { topic: "u", data: "m" }, position: "1" }];
  expect(await engine.publishRecords("s/0", records)).toMatchObject({ published: 1 });
  expect(await engine.positionOf("s/0")).toBe("1");
  await engine.records.put("set", "name", "value", { ttlMs: 1_000, max: 1 });
  expect(await engine.records.list("set")).toEqual([{ name: "name", value: "value" }]);
  expect(await engine.records.get("set", "name")).toBe("value");
  expect(await engine.records.remove("set", "name")).toBe(true);
  expect(await engine.queues.append("q", ["e"], 1)).toBe(1);
  const [first] = await engine.queues.first("q", 1);
  await engine.queues.removeUpTo("q", first?.number as number);
  expect(await engine.queues.size("q")).toBe(0);
}

describe("the ACL of docs/operations.md", () => {
  test("names exactly the commands that Baton uses", () => {
    const named = [...ACL.matchAll(/\+(\w+)/g)].map(([, name]) => name);
    expect(named.sort()).toEqual([...COMMANDS].sort() as typeof named);
    const texts = Object.values({
      ...PUBLISH_SCRIPTS,
      ...TOPIC_SCRIPTS,
      ...SERVER_SCRIPTS,
      ...REGISTRATION_SCRIPTS,
      ...RECORD_SCRIPTS,
      ...QUEUE_SCRIPTS,
    });
    const used = texts.flatMap(({ text }) =>
      [...text.matchAll(/redis\.p?call\('(\w+)'/g)].map(([, name = ""]) => name),
    );
    expect([...new Set(used)].sort()).toEqual([...SCRIPT_COMMANDS].sort());
  });

  test("is enough for everything that Baton does", async () => {
    await setUser();
    await using nodes = await RedisNode.pair(url(), url(), { prefix, idempotencyMax: 2 });
    await exercise(nodes);
    const { one, two } = nodes;
    const warnings = [...one.warnings, ...two.warnings];
    expect(warnings.filter((line) => !line.startsWith("Idempotency keys"))).toEqual([]);
  });

  test.each(COMMANDS.filter((name) => name !== "info"))(
    "G11: a start without the right to %s ends with a line that names it",
    async (name) => {
      await setUser(`-${name}`);
      const start = RedisNode.start(url(), { prefix });
      expect(start).rejects.toThrow(/^BATON_ENGINE: Redis at 127\.0\.0\.1:\d+\/2: /);
      expect(start).rejects.toThrow(new RegExp(`\\+${name}\\b`));
      await start.catch(() => {});
    },
  );

  test("G11: a start without the right to the keys or the channels ends with a line that says so", async () => {
    for (const right of ["resetkeys", "resetchannels"]) {
      await setUser(right);
      const start = RedisNode.start(url(), { prefix });
      expect(start).rejects.toThrow("~baton:* &baton:*");
      await start.catch(() => {});
    }
  });

  test("without the right to INFO, everything works, and a warning says what is missing", async () => {
    await setUser("-info");
    await using nodes = await RedisNode.pair(url(), url(), { prefix: "baton:without" });
    await exercise(nodes);
    const { warnings } = nodes.one;
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(
      /it refused INFO: NOPERM .*\+info.*a loss of its data may go unnoticed/,
    );
  });

  test("a right that is taken away while a node runs is named in the log, until it is given back", async () => {
    await setUser();
    await using node = await RedisNode.start(url(), { prefix });
    await node.publish("1");
    await server.command("ACL", "SETUSER", "baton", "-xadd");
    expect(await node.publish("2").catch(String)).toContain("refused EVALSHA");
    await until("the log", () => node.warnings.some((line) => line.includes("+xadd")));
    expect(node.warnings.join("\n")).not.toContain("out of reach");
    expect(node.engine.healthy()).toBe(false);
    await server.command("ACL", "SETUSER", "baton", "+xadd");
    await node.untilHealthy();
    await node.publish("3");
    expect(node.warnings.at(-1)).toContain("is back");
  });
});

describe("a Redis that answers with errors", () => {
  test("G11: renamed commands end the start with a line that names them, except INFO", async () => {
    const rename = (name: string) => ["--rename-command", name, ""];
    await using renamed = await RedisServer.start({ args: [...rename("XADD"), ...rename("INFO")] });
    const start = RedisNode.start(renamed.url);
    expect(start).rejects.toThrow(/unknown command XADD; Baton needs/);
    await start.catch(() => {});
    await using withoutInfo = await RedisServer.start({ args: rename("INFO") });
    await using node = await RedisNode.start(withoutInfo.url);
    await node.publish("1");
    expect(node.warnings.join()).toContain("unknown command");
  });

  test("G11: a key of another program ends the start with a line that names the setting to change", async () => {
    await using other = await RedisServer.start();
    await other.command("SET", "taken:run", "text");
    const start = RedisNode.start(other.url, { prefix: "taken" });
    expect(start).rejects.toThrow(/WRONGTYPE.*BATON_REDIS_PREFIX\.$/);
    await start.catch(() => {});
  });

  test("a read-only replica is named as such, and used once it takes writes", async () => {
    await using primary = await RedisServer.start();
    await using replica = await RedisServer.start();
    await replica.replicate(primary.port);
    await using node = await RedisNode.start(replica.url);
    expect(node.warnings[0]).toMatch(/cannot be used, trying again: .*READONLY.*; it is a replica/);
    await replica.command("REPLICAOF", "NO", "ONE");
    await node.untilHealthy();
  });

  test("a full server is logged once, in its own words", async () => {
    await using full = await RedisServer.start();
    await using node = await RedisNode.start(full.url);
    await full.command("CONFIG", "SET", "maxmemory", "1");
    for (let i = 0; i < 5; i++) await node.publish("m").catch(() => {});
    expect(node.warnings).toHaveLength(1);
    expect(node.warnings[0]).toMatch(/refused EVALSHA: OOM .*; raise its maxmemory/);
  });

  test.each([
    ["DENIED Redis is running in protected mode because x. In this mode y.", true],
    ["WRONGPASS invalid username-password pair or user is disabled.", true],
    ["NOAUTH Authentication required.", true],
    ["MOVED 866 127.0.0.1:7001", true],
    ["ERR unknown command 'EVAL', with args beginning with: 'secret'", true],
    ["NOPERM User baton has no permissions to run the 'time' command", true],
    ["ERR ACL failure in script: User baton has no permissions to run the 'xadd' command", true],
    ["LOADING Redis is loading the dataset in memory", false],
    ["MISCONF Redis is configured to save RDB snapshots, but it's unable to persist", false],
    ["ERR max number of clients reached", false],
  ])("the answer %j comes with advice, and may end the start: %p", (error, ends) => {
    const [said = "", advice = ""] = explain(error).split("; ");
    expect(error).toStartWith(said);
    expect(advice).not.toBe("");
    expect(explain(error)).not.toContain("secret");
    expect(isFinal(error)).toBe(ends);
  });

  test("an INFO that lacks what Redis says there is no reason to refuse a server", () => {
    expect(runIdOf("# Server\r\nother_version:1.0\r\n")).toBeUndefined();
    expect(runIdOf("redis_version:7.2.4\r\nrun_id:abc\r\n")).toBe("abc");
  });
});
