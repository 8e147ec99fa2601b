// The SQLite engine beyond the contract: what outlives it, failures of its file, its bounds. Rows G12 to G20.

import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { EngineOptions } from "../../../src/engines/options";
import { SqliteEngine } from "../../../src/engines/sqlite/engine";
import type { SqliteFile } from "../../../src/engines/sqlite/file";
import { type Claimed, EngineUnavailable } from "../../../src/relay/contracts/engine";
import type { Publication, Published } from "../../../src/relay/contracts/publication";
import { TopicRules } from "../../../src/relay/contracts/topic-rules";
import { Folder } from "../../support/machine/folder";
import { RelayProcess } from "../../support/relay/relay-process";
import { engineOptions, NOBODY } from "../../support/relay/simulation";

let folder: Folder;
let path: string;
let now: number;
let wall: number;
let open: SqliteEngine[];
let delivered: Publication[];

beforeEach(() => {
  folder = new Folder();
  path = join(folder.path, "baton.db");
  now = 0;
  wall = 1_000_000;
  open = [];
  delivered = [];
});

afterEach(() => {
  for (const engine of open) engine.close();
  folder[Symbol.dispose]();
});

async function start(options: Partial<EngineOptions> = {}): Promise<SqliteEngine> {
  const made = engineOptions({ now: () => now, newEpoch: newEpoch, ...options });
  const engine = new SqliteEngine(made, path, () => wall);
  open.push(engine);
  await engine.start({
    ...NOBODY,
    deliver: (publication) => {
      delivered.push(publication);
      return 1;
    },
  });
  return engine;
}

const newEpoch = (): string => crypto.randomUUID().slice(0, 8);
const fileOf = (engine: SqliteEngine): SqliteFile => engine.file as SqliteFile;

function offsets(engine: SqliteEngine, topic = "a"): (number | undefined)[] {
  return engine.history(topic, { limit: 1_000_000 }).publications.map(({ offset }) => offset);
}

/** All at once, in one turn. */
function publishAll(engine: SqliteEngine, count: number, topic = "a", data = "m") {
  return Promise.all(Array.from({ length: count }, () => engine.publish({ topic, data })));
}

const codeOf = (publish: () => Promise<unknown>): Promise<unknown> =>
  (async () => publish())().catch((error: unknown) => error);

describe("after a restart", () => {
  test("G20: epoch, offsets, publications with all they carry, and keys are as they were", async () => {
    let engine = await start();
    const info = { client: "c", user: "u", connectionInfo: "{}" };
    const rich = {
      topic: "a",
      data: "[1.0]",
      json: true,
      user: "1",
      except: "x",
      tags: "{}",
      info,
    };
    const first = (await engine.publish(rich, "key")) as Published;
    await engine.publish({ topic: "a", data: "é \u0000 😀" });
    const page = engine.history("a", { limit: 10 });
    const silent = engine.history("silent", { limit: 0 }).top;
    engine.close();
    engine = await start();
    expect(engine.history("a", { limit: 10 })).toEqual(page);
    expect(page.publications).toHaveLength(2);
    expect(engine.history("silent", { limit: 0 }).top).toEqual(silent);
    expect(await engine.publish(rich, "key")).toEqual({ ...first, delivered: 0 });
    expect(await engine.publish({ ...rich, data: "2" }, "key")).toMatchObject({
      code: "idempotency_conflict",
    });
    expect(await engine.publish({ topic: "a", data: "3" })).toMatchObject({
      offset: 3,
      epoch: first.epoch as string,
    });
  });

  test("registrations wait again, held ones too, for as long as new ones", async () => {
    let engine = await start();
    await engine.registrations.add({ id: "waits", user: "1", topics: ["a", "b"] });
    await engine.registrations.add({ id: "held", user: "1" });
    await engine.registrations.add({ id: "removed", user: "1" });
    await engine.registrations.claim("held");
    await engine.registrations.remove("removed");
    engine.close();
    engine = await start();
    expect(engine.registrations.waiting).toBe(2);
    expect(engine.registrations.claim("waits")).toMatchObject({ topics: ["a", "b"] });
    const held = engine.registrations.claim("held") as Claimed;
    expect(held).toMatchObject({ user: "1" });
    expect(engine.registrations.claim("removed")).toMatchObject({ code: "unknown_connection" });
    now = 60_000;
    engine.registrations.release("held", held.term, "wait");
    now = 120_000;
    engine.sweep();
    engine.close();
    engine = await start();
    expect(engine.registrations.waiting).toBe(1);
  });

  test("nothing is younger than it was, and a clock that went back makes nothing older either", async () => {
    const rules = new TopicRules({ historySize: 10, historyTtlMs: 1_000 });
    let engine = await start({ rules, idempotencyMs: 1_000 });
    await engine.publish({ topic: "a", data: "m" }, "key");
    engine.close();
    wall += 999;
    engine = await start({ rules, idempotencyMs: 1_000 });
    expect(offsets(engine)).toEqual([1]);
    now += 1;
    expect(offsets(engine)).toEqual([]);
    expect(await engine.publish({ topic: "a", data: "m" }, "key")).toMatchObject({ offset: 2 });
    engine.close();
    wall -= 900_000;
    engine = await start({ rules, idempotencyMs: 1_000 });
    expect(offsets(engine)).toEqual([2]);
    now += 1_000;
    expect(offsets(engine)).toEqual([]);
  });

  test("a topic whose rule kept nothing for a while begins anew", async () => {
    let engine = await start();
    const { epoch } = (await engine.publish({ topic: "a", data: "m" })) as Published;
    engine.close();
    engine = await start({ rules: new TopicRules({ historySize: 0, historyTtlMs: 1 }) });
    expect(await engine.publish({ topic: "a", data: "unseen" })).toEqual({ delivered: 1 });
    engine.close();
    engine = await start();
    const { top } = engine.history("a", { limit: 1 });
    expect(top?.offset).toBe(0);
    expect(top?.epoch).not.toBe(epoch as string);
  });
});

test("G13: a file that the process before still holds is waited for, as long as a restart overlaps", async () => {
  await using before = await RelayProcess.start({ BATON_ENGINE: `sqlite:${path}` });
  expect((await before.post("/publish", { topic: "a", message: "1" })).status).toBe(200);
  // By another process: this one is blocked while it waits for the file.
  Bun.spawn(["sh", "-c", `sleep 0.2; kill -9 ${before.pid}`]);
  const engine = await start();
  expect(await engine.publish({ topic: "a", data: "2" })).toMatchObject({ offset: 2 });
}, 20_000);

test("G16: each commit is on the disk before it is answered: synchronous=FULL, in WAL mode", async () => {
  const engine = await start();
  const value = (sql: string) => (fileOf(engine).prepare(sql).values()[0] as [unknown])[0];
  expect([value("PRAGMA synchronous"), value("PRAGMA journal_mode")]).toEqual([2, "wal"]);
});

test("G17: integers beyond 2^53 are as exact after a restart as before", async () => {
  let engine = await start();
  const data = "[9007199254740993,18446744073709551617,-9007199254740993]";
  const published = await engine.publish({ topic: "a", data, json: true }, "key");
  engine.close();
  engine = await start();
  expect(engine.history("a", { limit: 1 }).publications[0]?.data).toBe(data);
  // What a key was used for is kept as 64 bits: not even the last may be lost.
  expect(await engine.publish({ topic: "a", data, json: true }, "key")).toEqual({
    ...(published as Published),
    delivered: 0,
  });
  const { answers, prints } = { answers: 200, prints: new Set<string>() };
  for (let i = 0; i < answers; i++) await engine.publish({ topic: "b", data: `${i}` }, `k${i}`);
  for (const [print] of fileOf(engine).prepare("SELECT print FROM answers").values()) {
    prints.add(print as string);
  }
  expect([...prints].some((print) => BigInt(print) > 2n ** 53n)).toBe(true);
  engine.close();
  engine = await start();
  for (let i = 0; i < answers; i++) {
    expect(await engine.publish({ topic: "b", data: `${i}` }, `k${i}`)).toMatchObject({
      offset: i + 1,
    });
  }
});

test("publishes of one turn are one transaction; a key twice in it gets one answer", async () => {
  const engine = await start();
  const before = fileOf(engine).commits;
  const answers = await publishAll(engine, 500);
  expect(fileOf(engine).commits).toBe(before + 1);
  expect(answers.map((answer) => (answer as Published).offset)).toEqual(
    Array.from({ length: 500 }, (_, i) => i + 1),
  );
  const twice = await Promise.all([
    engine.publish({ topic: "a", data: "k" }, "key"),
    engine.publish({ topic: "a", data: "k" }, "key"),
    engine.publish({ topic: "a", data: "other" }, "key"),
  ]);
  expect(twice[0]).toEqual({ delivered: 1, offset: 501, epoch: expect.any(String) });
  expect(twice[1]).toEqual(twice[0]);
  expect(twice[2]).toMatchObject({ code: "idempotency_conflict" });
});

test("more than a transaction takes goes into the next ones, in order", async () => {
  const engine = await start();
  await publishAll(engine, 5_000);
  expect(delivered.map(({ offset }) => offset)).toEqual(
    Array.from({ length: 5_000 }, (_, i) => i + 1),
  );
});

test("G12: a full file: what is not kept is refused, and it goes on when there is room", async () => {
  const engine = await start({ historyBytes: 1e9 });
  await engine.publish({ topic: "a", data: "1" }, "k1");
  await engine.registrations.add({ id: "r", user: "1" });
  fileOf(engine).limitPages(1);
  const big = "x".repeat(60_000);
  const failed = await Promise.all(
    Array.from({ length: 8 }, (_, i) =>
      codeOf(() => engine.publish({ topic: "a", data: big }, `big${i}`)),
    ),
  );
  for (const error of failed) expect(error).toBeInstanceOf(EngineUnavailable);
  expect((failed[0] as Error).message).toContain("full");
  expect(engine.healthy()).toBe(false);
  expect(await codeOf(() => engine.publish({ topic: "a", data: "2" }))).toBeInstanceOf(
    EngineUnavailable,
  );
  expect(
    await codeOf(async () => engine.registrations.add({ id: "r2", user: "1" })),
  ).toBeInstanceOf(EngineUnavailable);
  expect(engine.registrations.waiting).toBe(1);
  expect(engine.registrations.claim("r")).toMatchObject({ user: "1" });
  await codeOf(async () => engine.registrations.remove("r"));
  // Nothing of it was delivered, and what was acknowledged can be read.
  expect(delivered).toHaveLength(1);
  expect(engine.history("a", { limit: 10 })).toMatchObject({ top: { offset: 1 } });

  // Without room it stays so, and asks less and less often.
  for (let i = 0; i < 3; i++) {
    now += 16_000;
    engine.sweep();
    expect(engine.healthy()).toBe(false);
  }
  fileOf(engine).limitPages(1e6);
  now += 1_000;
  engine.sweep();
  expect(engine.healthy()).toBe(false);
  now += 16_000;
  engine.sweep();
  expect(engine.healthy()).toBe(true);
  expect(await engine.publish({ topic: "a", data: big }, "big0")).toMatchObject({ offset: 2 });
  expect(await engine.publish({ topic: "a", data: "1" }, "k1")).toMatchObject({ offset: 1 });
  engine.close();
  const again = await start({ historyBytes: 1e9 });
  expect(offsets(again)).toEqual([1, 2]);
  // What was ended while nothing could be written has ended all the same.
  expect(again.registrations.waiting).toBe(0);
});

test("a fault in delivery is that publish's alone", async () => {
  const engine = new SqliteEngine(engineOptions(), path);
  open.push(engine);
  await engine.start({
    ...NOBODY,
    deliver: ({ data }) => {
      if (data === "bad") throw new Error("a fault");
      return 1;
    },
  });
  const [bad, good] = await Promise.all([
    codeOf(() => engine.publish({ topic: "a", data: "bad" }, "key")),
    engine.publish({ topic: "a", data: "good" }),
  ]);
  expect((bad as Error).message).toBe("a fault");
  expect(good).toMatchObject({ offset: 2 });
  expect(await engine.publish({ topic: "a", data: "bad" }, "key")).toMatchObject({ offset: 1 });
});

describe("retention", () => {
  const rowsOf = (engine: SqliteEngine): number => {
    const rows = fileOf(engine).prepare("SELECT count(*) FROM publications").values();
    return (rows[0] as [number])[0];
  };

  test("removes in small steps, and reads none of what is over", async () => {
    const rules = new TopicRules({ historySize: 1_000_000, historyTtlMs: 1_000 });
    const engine = await start({ rules, historyBytes: 1e9 });
    for (let i = 0; i < 6; i++) await publishAll(engine, 2_000);
    expect(rowsOf(engine)).toBe(12_000);
    now = 1_000;
    expect(offsets(engine)).toEqual([]);
    for (let left = 12_000; left > 0; left = rowsOf(engine)) {
      engine.sweep();
      expect(rowsOf(engine)).toBeGreaterThanOrEqual(left - 5_256);
      expect(rowsOf(engine)).toBeLessThan(left);
    }
    expect(await engine.publish({ topic: "a", data: "m" })).toMatchObject({ offset: 12_001 });
  });

  test("by count happens with the publications", async () => {
    const engine = await start();
    for (let i = 0; i < 20; i++) await publishAll(engine, 100);
    expect(rowsOf(engine)).toBeLessThanOrEqual(300);
    expect(offsets(engine)).toHaveLength(100);
    engine.sweep();
    expect(rowsOf(engine)).toBe(100);
  });

  test("gives up the topics that were published to least recently, and they come back under another epoch", async () => {
    const engine = await start({ historyBytes: 100_000 });
    const first = (await engine.publish({ topic: "t0", data: "m" })) as Published;
    for (let i = 1; i < 200; i++) {
      now++;
      await engine.publish({ topic: `t${i}`, data: "x".repeat(900) });
    }
    expect(engine.history("t199", { limit: 10 }).publications).toHaveLength(1);
    const { top } = engine.history("t0", { limit: 10 });
    expect(top?.offset).toBe(0);
    expect(top?.epoch).not.toBe(first.epoch as string);
    expect(await engine.publish({ topic: "t0", data: "m" })).toMatchObject({
      offset: 1,
      epoch: top?.epoch as string,
    });
  });

  test.each([50, 900, 1_500, 20_000])(
    "G19: bounds the file and its journal under a long run of publishes of %i bytes",
    async (size) => {
      const bound = 2_000_000;
      const rules = new TopicRules({ historySize: 1_000_000, historyTtlMs: 300_000 });
      const engine = await start({ rules, historyBytes: bound });
      const count = Math.ceil((5 * bound) / (size + 40) / 50);
      for (let i = 0; i < count; i++) {
        now += 10;
        await Promise.all(
          Array.from({ length: 50 }, (_, k) =>
            engine.publish({ topic: `t${(i + k) % 7}`, data: "x".repeat(size) }),
          ),
        );
        if (i % 20 === 0) engine.sweep();
      }
      expect(statSync(path).size).toBeLessThan(2 * bound);
      expect(statSync(`${path}-wal`).size).toBeLessThan(9 * 2 ** 20);
    },
    60_000,
  );

  test("gives room back to the system", async () => {
    const rules = new TopicRules({ historySize: 1_000_000, historyTtlMs: 1_000 });
    const engine = await start({ rules, historyBytes: 1e9 });
    for (let i = 0; i < 20; i++) await publishAll(engine, 500, "a", "x".repeat(500));
    now = 10_000;
    for (let i = 0; i < 40; i++) engine.sweep();
    engine.close();
    expect(statSync(path).size).toBeLessThan(2 * 2 ** 20);
  });
});

describe("G13, G14, G18: a file that cannot be used is refused in one sentence and left as it is", () => {
  const refusal = async (): Promise<string> => {
    const before =
      existsSync(path) && statSync(path).isFile() ? await Bun.file(path).bytes() : undefined;
    const message = await start().then(
      () => "",
      (error: Error) => error.message,
    );
    if (before !== undefined) expect(await Bun.file(path).bytes()).toEqual(before);
    expect(message).toStartWith(path);
    expect(message).not.toContain("\n");
    return message;
  };
  const changed = async (at: number, bytes: number[]): Promise<void> => {
    const engine = await start();
    await publishAll(engine, 500, "a", "x".repeat(500));
    engine.close();
    const all = await Bun.file(path).bytes();
    all.set(bytes, at);
    writeFileSync(path, all);
  };

  test("no database", async () => {
    writeFileSync(path, "some text that is long enough to be taken for a header ".repeat(10));
    expect(await refusal()).toContain("not a database");
    writeFileSync(path, "short");
    expect(await refusal()).toContain("not a database");
  });

  test("another program's", async () => {
    const other = new Database(path, { create: true });
    other.run("CREATE TABLE t (a)");
    other.close();
    expect(await refusal()).toContain("another program's");
    expect(existsSync(`${path}-wal`)).toBe(false);
  });

  test("a newer version's", async () => {
    await changed(60, [0, 0, 0, 2]);
    expect(await refusal()).toContain("newer");
  });

  test("damaged", async () => {
    await changed(
      3 * 4_096,
      Array.from({ length: 30_000 }, (_, i) => (i * 7 + 1) % 256),
    );
    expect(await refusal()).toContain("damaged");
  });

  test("in a folder that is none, or a folder itself", async () => {
    path = join(folder.path, "none", "baton.db");
    expect(await refusal()).toContain("no folder");
    path = folder.path;
    expect(await refusal()).toContain("is a folder");
  });

  test("held by another relay for longer than a restart takes, which goes on", async () => {
    const first = await start();
    await first.publish({ topic: "a", data: "1" });
    const second = new RelayProcess({ BATON_ENGINE: `sqlite:${path}` });
    expect(await second.exited).toBe(1);
    expect(second.errors).toMatch(/^baton: .*baton\.db is in use.*\n$/);
    expect(await first.publish({ topic: "a", data: "2" })).toMatchObject({ offset: 2 });
  });

  test("not to be written by this user", async () => {
    (await start()).close();
    chmodSync(path, 0o444);
    chmodSync(folder.path, 0o555);
    const script = `import { SqliteEngine } from ${JSON.stringify(join(import.meta.dir, "../../../src/engines/sqlite/engine.ts"))};
      await new SqliteEngine({ now: () => 0, rules: {}, newEpoch: () => "e" }, ${JSON.stringify(path)}).start({})
        .catch((error) => console.log(error.message));`;
    // The superuser may write everything: as nobody, where the tests run as root.
    const isRoot = process.getuid?.() === 0;
    const as = isRoot ? ["setpriv", "--reuid=65534", "--clear-groups"] : [];
    const run = Bun.spawn([...as, process.execPath, "-e", script], { stdout: "pipe" });
    const said = await new Response(run.stdout).text();
    chmodSync(folder.path, 0o755);
    expect(said).toBe(`${path} cannot be written: let this user write the file and its folder.\n`);
  });
});
