// New settings of a relay that runs: keys, secrets of tokens and rules are taken up together, or nothing is.
import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readSettings } from "../../src/settings/read";
import { inTurn } from "../../src/settings/reloads";
import { signedText } from "../support/centrifuge/signed-tokens";
import { example } from "../support/docs/pages";
import { Folder } from "../support/machine/folder";
import { RelayProcess } from "../support/relay/relay-process";
import { startRelay } from "../support/relay/test-relay";
import { until } from "../support/wait";

const OLD = "old-key-0123456789";
const NEW = "new-key-0123456789";

/** A relay whose keys, secret of tokens and settings are in files of a folder. */
async function start(folder: Folder) {
  const files = {
    keys: join(folder.path, "keys"),
    secret: join(folder.path, "secret"),
    config: join(folder.path, "baton.toml"),
  };
  writeFileSync(files.keys, `# of the backend\n${OLD}\n`);
  writeFileSync(files.secret, `${"a".repeat(32)}\n`);
  writeFileSync(files.config, "BATON_ANONYMOUS = true\n");
  const env = {
    BATON_API_KEYS_FILE: files.keys,
    BATON_TOKEN_SECRET_FILE: files.secret,
    BATON_CONFIG: files.config,
  };
  const relay = await startRelay(env);
  const reload = async () =>
    relay.running.reloads.take(readSettings({ BATON_SHUTDOWN_MS: "50", ...env, PORT: "0" }));
  const statusOf = async (key: string) =>
    (await relay.post("/publish", { topic: "tech", message: "m" }, { "x-api-key": key })).status;
  return { relay, files, reload, statusOf };
}

test("a key that is added counts beside the old one, and one that is removed does not count any more", async () => {
  using folder = new Folder();
  const { relay, files, reload, statusOf } = await start(folder);
  await using _ = relay;
  expect([await statusOf(OLD), await statusOf(NEW)]).toEqual([200, 401]);
  writeFileSync(files.keys, `${OLD}\n${NEW}\n`);
  expect(await reload()).toEqual([]);
  expect([await statusOf(OLD), await statusOf(NEW)]).toEqual([200, 200]);
  writeFileSync(files.keys, `${NEW}\n`);
  await reload();
  expect([await statusOf(OLD), await statusOf(NEW)]).toEqual([401, 200]);
});

test("new connections need a token of the new secret, and those that are there stay", async () => {
  using folder = new Folder();
  const { relay, files, reload } = await start(folder);
  await using _ = relay;
  const connect = async (secret: string) => {
    const token = signedText('{"sub":"42"}', '{"alg":"HS256"}', secret.repeat(32));
    const client = await relay.open(`ws://127.0.0.1:${relay.port}/connection/websocket`);
    client.send({ id: 1, connect: { token } });
    return client;
  };
  const early = await connect("a");
  expect(await early.next()).toContain('"connect"');
  writeFileSync(files.secret, "b".repeat(32));
  await reload();
  const outdated = await connect("a");
  expect(await outdated.closed).toMatchObject({ code: 3500 });
  expect(await (await connect("b")).next()).toContain('"connect"');
  early.send({ id: 2, presence: { channel: "t" } });
  expect(await early.next()).toContain('"id":2');
});

describe("nothing is taken up when", () => {
  test.each<[string, (files: { keys: string; config: string }) => void, string]>([
    [
      "a file is missing",
      ({ config }) => writeFileSync(config, 'BATON_TOPICS_FILE = "/nothing"'),
      "ENOENT",
    ],
    ["the keys are gone", ({ keys }) => writeFileSync(keys, "# none"), "it is empty"],
    [
      "the settings have a wrong name",
      ({ config }) => writeFileSync(config, "PRT = 1"),
      "Perhaps PORT",
    ],
  ])("%s", async (_, spoil, why) => {
    using folder = new Folder();
    const { relay, files, reload, statusOf } = await start(folder);
    await using __ = relay;
    writeFileSync(files.keys, NEW);
    spoil(files);
    expect(reload()).rejects.toThrow(why);
    expect([await statusOf(OLD), await statusOf(NEW)]).toEqual([200, 401]);
  });

  test("one part refuses what the others would take", async () => {
    using folder = new Folder();
    const { relay, files, reload, statusOf } = await start(folder);
    await using _ = relay;
    writeFileSync(files.keys, NEW);
    const pem = "-----BEGIN PUBLIC KEY-----\\nnone\\n-----END PUBLIC KEY-----";
    writeFileSync(files.config, `BATON_TOKEN_PUBLIC_KEY = "${pem}"`);
    expect(reload()).rejects.toThrow();
    expect([await statusOf(OLD), await statusOf(NEW)]).toEqual([200, 401]);
  });

  test("a relay without keys would get some, or one with keys none", async () => {
    await using open = await startRelay();
    const keyed = readSettings({ BATON_API_KEYS: OLD });
    expect(open.running.reloads.take(keyed)).rejects.toThrow("but not added: restart it");
    await using closed = await startRelay({ BATON_API_KEYS: OLD });
    const keyless = readSettings({});
    expect(closed.running.reloads.take(keyless)).rejects.toThrow("but not removed: restart it");
    expect((await closed.post("/publish", { topic: "t", message: "m" })).status).toBe(401);
  });
});

test("signals that come while new settings are put in force lead to one more reading, of what is there then", async () => {
  const start = Promise.withResolvers<void>();
  let written = 0;
  const read: number[] = [];
  const runs = Array.from({ length: 3 }, () => Promise.withResolvers<void>());
  const readings = Array.from({ length: 3 }, () => Promise.withResolvers<void>());
  const signal = inTurn(start.promise, async () => {
    read.push(written);
    readings[read.length - 1]?.resolve();
    await runs[read.length - 1]?.promise;
  });
  const write = () => {
    written++;
    signal();
  };
  for (let i = 0; i < 5; i++) write();
  expect(read).toEqual([]);
  start.reject(new Error("the first start has failed"));
  await readings[0]?.promise;
  for (let i = 0; i < 5; i++) write();
  runs[0]?.resolve();
  await readings[1]?.promise;
  runs[1]?.resolve();
  await new Promise(setImmediate);
  expect(read).toEqual([5, 10]);
  write();
  await readings[2]?.promise;
  expect(read).toEqual([5, 10, 11]);
});

test("settings that have changed and wait for a restart are named", async () => {
  using folder = new Folder();
  const { relay, files, reload } = await start(folder);
  await using _ = relay;
  writeFileSync(
    files.config,
    "BATON_ANONYMOUS = true\nBATON_PING_MS = 1000\nBATON_HISTORY_SIZE = 7",
  );
  expect(await reload()).toEqual(["BATON_PING_MS"]);
  expect(await reload()).toEqual([]);
});

test("a relay with its settings in files starts as docs/operations.md says, and SIGHUP reads them again", async () => {
  using folder = new Folder();
  const config = join(folder.path, "baton.toml");
  const keys = join(folder.path, "api-keys");
  writeFileSync(keys, OLD);
  const text = example("docs/operations.md", "baton.toml")
    .replace("/etc/baton/api-keys", keys)
    .replace(/^HOST = .*$/m, "")
    .replace(/^PORT = .*$/m, "PORT = 0")
    .replace(/^BATON_ENGINE = .*$/m, `BATON_ENGINE = "sqlite:${folder.path}/baton.db"`);
  writeFileSync(config, text);
  await using relay = await RelayProcess.start({ PORT: "", BATON_CONFIG: config });
  const publish = async (key: string) => {
    const body = JSON.stringify({ topic: "tech", message: "m" });
    const headers = { "content-type": "application/json", "x-api-key": key };
    return (await fetch(`${relay.url}/publish`, { method: "POST", body, headers })).status;
  };
  expect([await publish(OLD), await publish(NEW)]).toEqual([200, 401]);
  writeFileSync(keys, NEW);
  writeFileSync(config, `${readFileSync(config, "utf8")}\nBATON_PING_MS = 1000\n`);
  relay.signal("SIGHUP");
  await until("the new key", async () => (await publish(NEW)) === 200);
  expect(await publish(OLD)).toBe(401);
  await until("the warning", () => relay.output.includes("BATON_PING_MS has changed"));
  expect(relay.output).not.toMatch(/key-0123/);
});
