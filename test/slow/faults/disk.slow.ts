// A relay whose file is on a disk that fails: full, broken or read-only. What the relay acknowledged is there, what it could
// not keep it never acknowledged, and it recovers by itself. Rows G12 and G18 of the fault catalogue.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Client } from "../../support/clients/client";
import { SmallDisk } from "../../support/machine/small-disk";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

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

interface PublishAnswer {
  readonly offset?: number;
  readonly error?: { readonly code: string };
}

/** Publishes with the beginning of the message as its idempotency key. */
async function publish(to: RelayProcess, message: string) {
  const body = { topic: "t", message, idempotency_key: message.slice(0, 20) };
  const answer = await to.post("/publish", body);
  return { status: answer.status, json: (await answer.json()) as PublishAnswer };
}

const healthOf = async ({ url }: RelayProcess) => (await fetch(`${url}/health`)).status;

const textsOf = async (to: RelayProcess) =>
  (await to.wholeHistory("t")).publications.map(({ data }) => data);

const messageOf = (number: number) => `m${number}`.padEnd(2_000, ".");

/** Has the disk fail under a relay, and repairs it: the relay must lose nothing that it acknowledged, and recover by itself. */
async function expectToSurvive(failDisk: () => unknown, repairDisk: () => unknown): Promise<void> {
  let current = await start();
  const client = await Client.open(await current.register());
  client.send({ topics: ["t"] });
  await client.settled();
  const acknowledged: string[] = [];
  for (let i = 0; i < 50; i++) {
    const answer = await publish(current, messageOf(i));
    expect(answer).toMatchObject({ status: 200, json: { offset: i + 1 } });
    acknowledged.push(messageOf(i));
  }
  await failDisk();
  acknowledged.push(...(await publishUntilRefused(current, acknowledged.length)));
  const refused = messageOf(acknowledged.length);
  await expectUnavailable(current, refused);
  // What was acknowledged can be read and was delivered, and nothing else.
  expect(await textsOf(current)).toEqual(acknowledged);
  expect(await client.take(acknowledged.length)).toEqual(acknowledged);
  await repairDisk();
  const isHealthy = async () => (await healthOf(current)) === 200;
  await until("the relay to be healthy again", isHealthy);
  // What was refused is new when it is retried; what was acknowledged is not.
  expect((await publish(current, refused)).json.offset).toBe(acknowledged.length + 1);
  acknowledged.push(refused);
  expect((await publish(current, messageOf(0))).json.offset).toBe(1);
  expect(await client.next()).toBe(refused);
  current.signal("SIGKILL");
  await current.exited;
  current = await start();
  expect(await textsOf(current)).toEqual(acknowledged);
}

/** Resolves with the messages that were still acknowledged. */
async function publishUntilRefused(to: RelayProcess, from: number): Promise<string[]> {
  const acknowledged: string[] = [];
  for (let number = from; ; number++) {
    const { status, json } = await publish(to, messageOf(number));
    if (status !== 200) {
      expect([status, json.error?.code]).toEqual([503, "engine_unavailable"]);
      return acknowledged;
    }
    acknowledged.push(messageOf(number));
    expect(number).toBeLessThan(10_000);
  }
}

async function expectUnavailable(relay: RelayProcess, message: string): Promise<void> {
  expect(await healthOf(relay)).toBe(503);
  for (let i = 0; i < 20; i++) expect((await publish(relay, message)).status).toBe(503);
  expect((await relay.post("/register", { user_id: 1 })).status).toBe(503);
}

test("G12: on a full disk publishes are refused with 503, what was acknowledged stays, and publishing works again when there is room", async () => {
  await expectToSurvive(
    () => disk.fill(),
    () => disk.empty(),
  );
});

/**
 * Resolves when strace says that it has attached to the relay. Reads on after that: strace says so of each new thread too, and
 * a closed pipe would end it, and the failure with it.
 */
function attached(said: ReadableStream<Uint8Array>): Promise<void> {
  return new Promise((resolve, reject) => {
    (async () => {
      let text = "";
      for await (const bytes of said) {
        text += new TextDecoder().decode(bytes);
        if (text.includes("attached")) resolve();
      }
      reject(new Error(`strace has ended: ${text}`));
    })();
  });
}

test("G12: while fsync fails nothing is acknowledged, and publishing works again when it does not", async () => {
  if (Bun.which("strace") === null) {
    throw new Error(
      "strace is not installed, and this test makes fsync fail with it: apt-get install strace",
    );
  }
  let strace: Bun.Subprocess<"ignore", "ignore", "pipe"> | undefined;
  await expectToSurvive(
    async () => {
      const inject = "inject=fsync,fdatasync:error=EIO";
      const command = ["strace", "-f", "-p", String(relay?.pid), "-e", inject, "-o", "/dev/null"];
      strace = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
      await attached(strace.stderr);
    },
    async () => {
      strace?.kill("SIGINT");
      await strace?.exited;
    },
  );
});

describe("G18: a start is refused with one line", () => {
  test("on a read-only file system, whether the file exists or not", async () => {
    const first = await start();
    await publish(first, "m");
    first.signal("SIGTERM");
    expect(await first.exited).toBe(0);
    await disk.makeReadOnly();
    for (const file of ["baton.db", "other.db"]) {
      const env = { BATON_ENGINE: `sqlite:${disk.path}/${file}` };
      const second = new RelayProcess(env, { through: disk.inside });
      expect(await second.ended()).toBe(1);
      expect(second.errors).toBe(
        `baton: ${disk.path}/${file} cannot be written: this user needs write access to the file and its folder.\n`,
      );
    }
  });

  test("on a full disk", async () => {
    disk.fill();
    const env = { BATON_ENGINE: `sqlite:${disk.path}/baton.db` };
    const full = new RelayProcess(env, { through: disk.inside });
    expect(await full.ended()).toBe(1);
    expect(full.errors).toBe(
      `baton: ${disk.path}/baton.db cannot be written: the disk is full. Free some space.\n`,
    );
  });
});
