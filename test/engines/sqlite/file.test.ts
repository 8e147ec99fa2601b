// The file of the SQLite engine: how it is opened, and what becomes of one that cannot be used. Rows G13, G14, G16 and G18 of
// the fault catalogue.
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, readdirSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { offsetsIn, publishMany, SqliteStore } from "../../support/engines/sqlite-store";
import { RelayProcess } from "../../support/relay/relay-process";

let store: SqliteStore;
beforeEach(() => {
  store = new SqliteStore();
});
afterEach(() => store[Symbol.dispose]());

test("G16: each commit is on the disk before it is answered: synchronous=FULL, in WAL mode", async () => {
  await store.start();
  expect(store.value("PRAGMA synchronous")).toBe(2);
  expect(store.value("PRAGMA journal_mode")).toBe("wal");
});

test("a file of the first version is opened with all that it has, gets what it lacks, and is refused by the version before", async () => {
  const engine = await store.start();
  await engine.registrations.add({ id: "r", user: "u" });
  await publishMany(engine, 3);
  await engine.publish({ topic: "a", data: "keyed" }, "key");
  engine.close();
  // The first version had all tables but these.
  const file = new Database(store.path);
  for (const table of ["positions", "records", "entries"]) file.run(`DROP TABLE ${table}`);
  file.run("PRAGMA user_version = 1");
  file.close();
  const upgraded = await store.start();
  // In the file's header, not only in the log beside it: the version before reads that.
  expect((await Bun.file(store.path).bytes())[63]).toBe(2);
  expect(offsetsIn(upgraded)).toEqual([1, 2, 3, 4]);
  expect(await upgraded.publish({ topic: "a", data: "keyed" }, "key")).toMatchObject({ offset: 4 });
  expect(await upgraded.registrations.claim("r")).toMatchObject({ user: "u" });
  const records = [{ publication: { topic: "a", data: "5" }, position: "1" }];
  expect(await upgraded.publishRecords("s/0", records)).toMatchObject({ published: 1 });
  expect(await upgraded.queues.append("q", ["e"], 10)).toBe(1);
});

test("what is kept outlives the engine: positions, values with the rest of their time, and queues with their numbers", async () => {
  const bounds = { ttlMs: 1_000, max: 10 };
  const engine = await store.start();
  const records = [{ publication: { topic: "a", data: "m" }, position: "7" }];
  await engine.publishRecords("s/0", records);
  await engine.records.put("set", "short", "v", { ...bounds, ttlMs: 100 });
  for (const name of ["b", "a"]) await engine.records.put("set", name, "v", bounds);
  await engine.queues.append("q", ["1", "2"], 10);
  const last = (await engine.queues.first("q", 2))[1]?.number as number;
  await engine.queues.removeUpTo("q", last);
  engine.close();
  [store.now, store.timeOfDay] = [0, store.timeOfDay + 200];
  const again = await store.start();
  expect(await again.positionOf("s/0")).toBe("7");
  expect(await again.publishRecords("s/0", records)).toEqual({ published: 0, repeated: 1 });
  expect((await again.records.list("set")).map(({ name }) => name)).toEqual(["b", "a"]);
  await again.queues.append("q", ["3"], 10);
  expect((await again.queues.first("q", 2))[0]?.number).toBeGreaterThan(last);
  store.now = 801;
  again.sweep();
  expect(await again.records.list("set")).toEqual([]);
  expect(store.value("SELECT count(*) FROM records")).toBe(0);
});

test("G13: a start waits for a file that the last process still has, as long as a restart overlaps", async () => {
  await using before = await RelayProcess.start({ BATON_ENGINE: `sqlite:${store.path}` });
  expect((await before.post("/publish", { topic: "a", message: "1" })).status).toBe(200);
  // Another process kills it, since this one is blocked while it waits for the file.
  Bun.spawn(["sh", "-c", `sleep 0.2; kill -9 ${before.pid}`]);
  const engine = await store.start();
  expect(await engine.publish({ topic: "a", data: "2" })).toMatchObject({ offset: 2 });
}, 120_000);

describe("a file that cannot be used", () => {
  /** The message of a start that fails and leaves the file as it is. */
  const refusal = async (): Promise<string> => {
    const { path } = store;
    const isFile = existsSync(path) && statSync(path).isFile();
    const before = isFile ? await Bun.file(path).bytes() : undefined;
    const message = await store.start().then(
      () => "",
      (error: Error) => error.message,
    );
    if (before !== undefined) expect(await Bun.file(path).bytes()).toEqual(before);
    expect(message).toStartWith(path);
    expect(message).not.toContain("\n");
    return message;
  };

  /** Overwrites a part of a file with publications. */
  const overwrite = async (at: number, bytes: number[]): Promise<void> => {
    const engine = await store.start();
    await publishMany(engine, 500, "a", "x".repeat(500));
    engine.close();
    const all = await Bun.file(store.path).bytes();
    all.set(bytes, at);
    writeFileSync(store.path, all);
  };

  test("G14: a file that is not a database is refused and left as it is", async () => {
    writeFileSync(store.path, "some text that is long enough to be taken for a header ".repeat(10));
    expect(await refusal()).toContain("not a database");
    writeFileSync(store.path, "short");
    expect(await refusal()).toContain("not a database");
  });

  test("G14: another program's database is refused and left as it is", async () => {
    const other = new Database(store.path, { create: true });
    other.run("CREATE TABLE t (a)");
    other.close();
    expect(await refusal()).toContain("another program's");
    expect(existsSync(`${store.path}-wal`)).toBe(false);
  });

  test("G14: a file of a newer version is refused and left as it is", async () => {
    await overwrite(60, [0, 0, 0, 3]);
    expect(await refusal()).toContain("newer");
  });

  test("G14: a damaged file is refused and left as it is", async () => {
    await overwrite(
      3 * 4_096,
      Array.from({ length: 30_000 }, (_, i) => (i * 7 + 1) % 256),
    );
    expect(await refusal()).toContain("damaged");
  });

  test("G18: a path in a folder that does not exist is refused, and so is a folder", async () => {
    store.path = join(store.folder, "missing", "baton.db");
    expect(await refusal()).toContain("no folder");
    store.path = store.folder;
    expect(await refusal()).toContain("is a folder");
  });

  test("G13: a file that another relay has for longer than a restart takes is refused, and that relay goes on", async () => {
    const first = await store.start();
    await first.publish({ topic: "a", data: "1" });
    const second = new RelayProcess({ BATON_ENGINE: `sqlite:${store.path}` });
    expect(await second.ended()).toBe(1);
    expect(second.errors).toMatch(/^baton: .*baton\.db is in use.*\n$/);
    expect(await first.publish({ topic: "a", data: "2" })).toMatchObject({ offset: 2 });
  });

  test("G13: attempts to open a file in use leave no descriptors behind", async () => {
    await store.start();
    const before = descriptorsIn(store.folder);
    const second = store.start();
    expect(String(await second.catch((error: Error) => error.message))).toContain("is in use");
    // While the first engine has the file, SQLite keeps one for the next attempt: closing it would end the lock.
    expect(descriptorsIn(store.folder)).toBeLessThanOrEqual(before + 1);
  });

  test("G18: a file that this user may not write is refused", async () => {
    const { path, folder } = store;
    (await store.start()).close();
    chmodSync(path, 0o444);
    chmodSync(folder, 0o555);
    const engine = join(import.meta.dir, "../../../src/engines/sqlite/engine.ts");
    const script = `import { SqliteEngine } from ${JSON.stringify(engine)};
      await new SqliteEngine({ now: () => 0, rules: {}, newEpoch: () => "e" }, ${JSON.stringify(path)}).start({})
        .catch((error) => console.log(error.message));`;
    // The superuser may write everything, so where the tests run as root the script runs as nobody.
    const isRoot = process.getuid?.() === 0;
    const asNobody = isRoot ? ["setpriv", "--reuid=65534", "--clear-groups"] : [];
    const run = Bun.spawn([...asNobody, process.execPath, "-e", script], { stdout: "pipe" });
    const output = await new Response(run.stdout).text();
    chmodSync(folder, 0o755);
    expect(output).toBe(
      `${path} cannot be written: this user needs write access to the file and its folder.\n`,
    );
  });
});

/** How many descriptors of files in this folder the process has. */
function descriptorsIn(folder: string): number {
  return readdirSync("/proc/self/fd").filter((descriptor) => {
    const path = `/proc/self/fd/${descriptor}`;
    return existsSync(path) && readlinkSync(path).startsWith(folder);
  }).length;
}
