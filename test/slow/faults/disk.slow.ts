// A relay whose file is on a disk that fails it: full, broken, read-only. What it acknowledged is there, what it could not
// keep it never acknowledged, and it goes on by itself. Rows G12 and G18 of the fault catalogue.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Client } from "../../support/clients/client";
import { SmallDisk } from "../../support/machine/small-disk";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

/** A failed engine tries again after 1, 2, 4, 8 and then every 16 s. */
const RETRY_MS = 40_000;

let disk: SmallDisk;
let relay: RelayProcess | undefined;

beforeEach(async () => {
  disk = await SmallDisk.make("8m");
});

afterEach(async () => {
  await relay?.[Symbol.asyncDispose]();
  relay = undefined;
  await disk[Symbol.asyncDispose]();
});

async function start(): Promise<RelayProcess> {
  const env = { BATON_ENGINE: `sqlite:${disk.path}/baton.db`, BATON_HISTORY_SIZE: "100000" };
  relay = await RelayProcess.start(env, { through: disk.inside });
  return relay;
}

const publish = async (to: RelayProcess, message: string) => {
  const body = { topic: "t", message, idempotency_key: message.slice(0, 20) };
  const answer = await to.post("/publish", body);
  return { status: answer.status, json: (await answer.json()) as PublishJson };
};
interface PublishJson {
  readonly offset?: number;
  readonly error?: { readonly code: string };
}

const healthOf = async ({ url }: RelayProcess) => (await fetch(`${url}/health`)).status;

async function history({ url }: RelayProcess): Promise<string[]> {
  const all: string[] = [];
  for (;;) {
    const page = await fetch(`${url}/topics/t/history?limit=1000&since=${all.length}`);
    const { publications } = (await page.json()) as { publications: { data: string }[] };
    if (publications.length === 0) return all;
    all.push(...publications.map(({ data }) => data));
  }
}

/** Publishes until it is refused, with what `fail` does to the disk; then it must go on after `mend`. */
async function failAndGoOn(fail: () => unknown, mend: () => unknown): Promise<void> {
  let here = await start();
  const client = await Client.open(await here.register());
  client.send({ topics: ["t"] });
  await client.settled();
  const acknowledged: string[] = [];
  const message = (number: number) => `m${number}`.padEnd(2_000, ".");
  for (let i = 0; i < 50; i++) {
    expect(await publish(here, message(i))).toMatchObject({ status: 200, json: { offset: i + 1 } });
    acknowledged.push(message(i));
  }
  await fail();
  let next = 50;
  for (;;) {
    const { status, json } = await publish(here, message(next));
    if (status !== 200) {
      expect([status, json.error?.code]).toEqual([503, "engine_unavailable"]);
      break;
    }
    acknowledged.push(message(next++));
    expect(next).toBeLessThan(10_000);
  }
  expect(await healthOf(here)).toBe(503);
  for (let i = 0; i < 20; i++) expect((await publish(here, message(next))).status).toBe(503);
  expect((await here.post("/register", { user_id: 1 })).status).toBe(503);
  // What was acknowledged can be read, and was delivered; nothing else was.
  expect(await history(here)).toEqual(acknowledged);
  expect(await client.take(acknowledged.length)).toEqual(acknowledged);
  await mend();
  await until("the relay to go on", async () => (await healthOf(here)) === 200, RETRY_MS);
  // The retry of what was refused is new, that of what was acknowledged is not.
  expect((await publish(here, message(next))).json.offset).toBe(next + 1);
  acknowledged.push(message(next));
  expect((await publish(here, message(0))).json.offset).toBe(1);
  expect(await client.next()).toBe(message(next));
  here.signal("SIGKILL");
  await here.exited;
  here = await start();
  expect(await history(here)).toEqual(acknowledged);
}

test("G12: on a full disk publishes are refused with 503, what was acknowledged stays, and it goes on when there is room", async () => {
  await failAndGoOn(
    () => disk.fill(),
    () => disk.empty(),
  );
}, 120_000);

test("G12: where the disk does not keep what it took (fsync fails) nothing is acknowledged, and it goes on when it does", async () => {
  if (Bun.which("strace") === null) {
    throw new Error(
      "strace is not installed, and this test makes fsync fail with it: apt-get install strace",
    );
  }
  let strace: Bun.Subprocess<"ignore", "ignore", "pipe"> | undefined;
  await failAndGoOn(
    async () => {
      const inject = "inject=fsync,fdatasync:error=EIO";
      const command = ["strace", "-f", "-p", String(relay?.pid), "-e", inject, "-o", "/dev/null"];
      strace = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
      for await (const said of strace.stderr) {
        if (new TextDecoder().decode(said).includes("attached")) break;
      }
    },
    async () => {
      strace?.kill("SIGINT");
      await strace?.exited;
    },
  );
}, 120_000);

describe("G18: a start is refused in one line", () => {
  test("on a read-only file system, with a file and without", async () => {
    const first = await start();
    await publish(first, "m");
    first.signal("SIGTERM");
    expect(await first.exited).toBe(0);
    await disk.makeReadOnly();
    for (const file of ["baton.db", "other.db"]) {
      const env = { BATON_ENGINE: `sqlite:${disk.path}/${file}` };
      const second = new RelayProcess(env, { through: disk.inside });
      expect(await second.exited).toBe(1);
      await until("the line", () => second.errors.endsWith("\n"));
      expect(second.errors).toBe(
        `baton: ${disk.path}/${file} cannot be written: this user needs write access to the file and its folder.\n`,
      );
    }
  });

  test("on a full disk", async () => {
    disk.fill();
    const env = { BATON_ENGINE: `sqlite:${disk.path}/baton.db` };
    const full = new RelayProcess(env, { through: disk.inside });
    expect(await full.exited).toBe(1);
    await until("the line", () => full.errors.endsWith("\n"));
    expect(full.errors).toBe(
      `baton: ${disk.path}/baton.db cannot be written: the disk is full. Free some space.\n`,
    );
  });
});
