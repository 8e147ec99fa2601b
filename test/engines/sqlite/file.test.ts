// The file of the SQLite engine: how it is opened, and what becomes of one that cannot be used. Rows G13, G14, G16 and G18 of
// the fault catalogue.
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { publishMany, SqliteStore } from "../../support/engines/sqlite-store";
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
    await overwrite(60, [0, 0, 0, 2]);
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
