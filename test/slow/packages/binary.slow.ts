// The binary of `bun run build`, started with nothing but its settings in the environment and in a folder of others: what it
// has inside of it (workers, SQLite, the API page), and whole suites that run with it in place of the source.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { version } from "../../../package.json";
import { EventStream } from "../../support/clients/event-stream";
import { Folder } from "../../support/machine/folder";
import { freePort } from "../../support/machine/free-port";
import { RelayProcess } from "../../support/relay/relay-process";
import { RelayWithWorkers } from "../../support/relay/relay-with-workers";
import { until } from "../../support/wait";

const ROOT = join(import.meta.dir, "../../..");
const REVISION = "0123456789ab";
const NEWER = "ba9876543210";

let folder: Folder;
let binary: string;

/** Builds <outdir>/baton. */
function build(revision: string, outdir: string): void {
  const command = [process.execPath, "docs/deploy/binary.ts", "--outdir", outdir];
  const env = { ...process.env, REVISION: revision };
  const { exitCode, stderr } = Bun.spawnSync(command, { cwd: ROOT, env });
  expect([exitCode, stderr.toString()]).toEqual([0, ""]);
}

beforeAll(() => {
  folder = new Folder();
  build(REVISION, folder.path);
  binary = join(folder.path, "baton");
});
afterAll(() => folder[Symbol.dispose]());

/** The labels of baton_build_info. */
async function buildInfo(url: string): Promise<string> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return /^baton_build_info\{(.*)\} 1$/m.exec(text)?.[1] ?? "";
}

test("the binary says of which version and commit it is", async () => {
  await using relay = await RelayProcess.start({}, { binary });
  expect(await buildInfo(relay.url)).toBe(
    `version="${version}",revision="${REVISION}",bun="${Bun.version}"`,
  );
});

test("the binary serves the page of the API with its style and script", async () => {
  await using relay = await RelayProcess.start({}, { binary });
  const page = await (await fetch(`${relay.url}/openapi`)).text();
  const files = [...page.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path]) => path);
  expect(files).toHaveLength(2);
  for (const path of files) {
    const file = await fetch(relay.url + path);
    expect([path, file.status]).toEqual([path, 200]);
    expect((await file.text()).length).toBeGreaterThan(100_000);
  }
});

test("the binary serves the client as a module, the same as from source", async () => {
  await using relay = await RelayProcess.start({}, { binary });
  await using source = await RelayProcess.start();
  const [ofBinary, ofSource] = await Promise.all(
    [relay, source].map(async ({ url }) => (await fetch(`${url}/client.js`)).text()),
  );
  expect(ofBinary).toBe(ofSource);
  expect(ofBinary).toMatch(/export\s*\{\w+ as connect\}/);
});

test("the binary serves the console with its style, script and icon", async () => {
  await using relay = await RelayProcess.start({}, { binary });
  const page = await (await fetch(`${relay.url}/console`)).text();
  const files = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path);
  expect(files).toHaveLength(3);
  for (const path of files) {
    expect([path, (await fetch(`${relay.url}/${path}`)).status]).toEqual([path, 200]);
  }
});

test("the binary reads no settings from files of the folder in which it is started", async () => {
  using other = new Folder();
  writeFileSync(join(other.path, ".env"), "BATON_API_KEYS=a-key-of-another-program\n");
  writeFileSync(join(other.path, "bunfig.toml"), 'preload = ["./missing.ts"]\n');
  const through = ["sh", "-c", 'cd "$0" && exec "$@"', other.path];
  await using relay = await RelayProcess.start({}, { binary, through });
  expect((await relay.post("/register", { user_id: 1 })).status).toBe(200);
});

test("a stream of the binary resumes after it was killed, from SQLite", async () => {
  using files = new Folder();
  const settings = {
    PORT: String(freePort()),
    BATON_ENGINE: `sqlite:${join(files.path, "baton.db")}`,
    BATON_LOG_LEVEL: "info",
  };
  const open = async (relay: RelayProcess, lastEventId?: string) => {
    const answer = await relay.post("/register", { user_id: 1, topics: ["t"] });
    const { sse } = (await answer.json()) as { sse: string };
    return EventStream.open(sse, lastEventId === undefined ? {} : { lastEventId });
  };
  let lastEventId: string;
  {
    await using relay = await RelayProcess.start(settings, { binary });
    const stream = await open(relay);
    await relay.publish("t", "seen");
    expect((await stream.next()).data).toBe("seen");
    lastEventId = stream.lastEventId;
    stream.close();
    for (const message of ["missed 1", "missed 2"]) await relay.publish("t", message);
    relay.signal("SIGKILL");
    await relay.exited;
  }
  await using relay = await RelayProcess.start(settings, { binary });
  const stream = await open(relay, lastEventId);
  await relay.publish("t", "live");
  const received = [];
  for (let i = 0; i < 3; i++) received.push((await stream.next()).data);
  expect(received).toEqual(["missed 1", "missed 2", "live"]);
  stream.close();
});

test("SIGHUP replaces the workers of the binary by those of the file that is now in its place", async () => {
  const installed = join(folder.path, "installed");
  copyFileSync(binary, installed);
  await using relay = await RelayWithWorkers.start({}, { binary: installed });
  const before = await relay.workers();
  expect(before).toHaveLength(3);
  const clients = await relay.connectClients(3);
  build(NEWER, join(folder.path, "newer"));
  renameSync(join(folder.path, "newer/baton"), installed);
  relay.process.signal("SIGHUP");
  await relay.untilReplaced(before);
  await until("the clients to be connected to the new workers", () =>
    clients.every(({ ready, connectionsLost }) => ready && connectionsLost > 0),
  );
  await relay.process.publish("t", "after");
  await until("the clients to have it", () => clients.every(({ count }) => count === 1));
  for (const client of clients) await client.stop();
  const [worker = 0] = await relay.workers();
  const { stdout } = Bun.spawnSync(["grep", "-c", NEWER, `/proc/${worker}/exe`]);
  expect(Number(stdout.toString())).toBeGreaterThan(0);
});

describe("in place of the source, the binary passes", () => {
  test.each([
    ["the contract of deployments", "./test/contract/deployment.test.ts"],
    ["the tests of a process", "./test/main.test.ts"],
    ["what systemd is told", "./test/workers/system/systemd.test.ts"],
  ])("%s", async (_, file) => {
    const child = Bun.spawn([process.execPath, "test", "--timeout", "120000", file], {
      cwd: ROOT,
      env: { ...process.env, RELAY_BINARY: binary },
      stdout: "ignore",
      stderr: "pipe",
    });
    const output = await new Response(child.stderr).text();
    expect(await child.exited, output.replaceAll(/^\(pass\).*\n/gm, "")).toBe(0);
  });
});

test("the binary has the clients of all kinds of sources in it", async () => {
  const gone = `127.0.0.1:${freePort()}`;
  const file = join(folder.path, "sources.json");
  const kinds = {
    kafka: { brokers: [gone], kafka_topics: ["orders"], dead_letters: "dead" },
    nats: { servers: [`nats://${gone}`], stream: "ORDERS", dead_letters: "dead" },
    rabbitmq: { url: `amqp://baton:secret@${gone}`, queue: "orders", dead_letters: "dead" },
    redis: { url: `redis://${gone}`, stream: "orders" },
  };
  const sources = Object.entries(kinds).map(([kind, options]) => [kind, { kind, ...options }]);
  writeFileSync(file, JSON.stringify(Object.fromEntries(sources)));
  await using relay = await RelayProcess.start({ BATON_SOURCES_FILE: file }, { binary });
  for (const kind of Object.keys(kinds)) {
    const line = () => relay.lines.find(({ msg }) => msg.includes(`source ${kind} cannot be read`));
    await until(`the source ${kind} to be tried`, () => line() !== undefined);
    expect(line()?.msg).toMatch(/connect|refused|closed/i);
  }
});
