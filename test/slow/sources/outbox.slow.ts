// What only an outbox in PostgreSQL has: transactions, tables of one's own, and sessions that lock.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { SQL } from "bun";
import { outboxDdl } from "../../../src/sources/postgresql/ddl";
import { Authority } from "../../support/machine/authority";
import { RelayProcess } from "../../support/relay/relay-process";
import { opened } from "../../support/sources/opened";
import { PostgresServer } from "../../support/sources/postgres-server";
import { sourcesFile } from "../../support/sources/sources-file";
import { until } from "../../support/wait";

let server: PostgresServer;
let authority: Authority;
beforeAll(async () => {
  authority = new Authority();
  server = await PostgresServer.start(authority.issue("postgres"));
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  authority.folder[Symbol.dispose]();
});

/** A relay that reads an outbox in a database of its own. */
async function start(own: object = {}) {
  const url = await server.database();
  const sql = new SQL(url, { max: 3 });
  await sql.unsafe(outboxDdl()).simple();
  const env = {
    BATON_HISTORY_SIZE: "10000",
    BATON_SOURCES_FILE: sourcesFile({ orders: { kind: "postgresql", url, ...own } }),
  };
  const relay = await RelayProcess.start(env);
  const messages = async (topic = "t") =>
    (await relay.history(topic)).publications?.map(({ data }) => data) ?? [];
  const untilThere = (...wanted: string[]) =>
    until(wanted.join(), async () => Bun.deepEquals(await messages(), wanted));
  return {
    relay,
    sql,
    env,
    messages,
    untilThere,
    insert: (message: string) =>
      sql`INSERT INTO baton_outbox (topic, message) VALUES ('t', ${message})`,
    async [Symbol.asyncDispose]() {
      await relay[Symbol.asyncDispose]();
      await sql.close({ timeout: 0 });
    },
  };
}

describe("an outbox", () => {
  test("a row that is committed late is published, though rows with higher ids were published before", async () => {
    await using outbox = await start();
    const late = Promise.withResolvers<void>();
    const inserted = Promise.withResolvers<void>();
    const transaction = outbox.sql.begin(async (sql) => {
      await sql`INSERT INTO baton_outbox (topic, message) VALUES ('t', 'late')`;
      inserted.resolve();
      await late.promise;
    });
    await inserted.promise;
    await outbox.insert("early");
    await outbox.untilThere("early");
    late.resolve();
    await transaction;
    await outbox.untilThere("early", "late");
  });

  test("a row that is rolled back is not published", async () => {
    await using outbox = await start();
    const rolledBack = outbox.sql.begin(async (sql) => {
      await sql`INSERT INTO baton_outbox (topic, message) VALUES ('t', 'never')`;
      throw new Error("rolled back");
    });
    await expect(rolledBack).rejects.toThrow("rolled back");
    await outbox.insert("after");
    await outbox.untilThere("after");
  });

  test("a table that is made anew begins above the old one: nothing of it counts as published", async () => {
    await using outbox = await start();
    await outbox.insert("old");
    await outbox.untilThere("old");
    await until("the row to go", async () => (await outbox.sql`TABLE baton_outbox`).length === 0);
    // One after the other: the relay locks them in another order.
    await outbox.sql`TRUNCATE baton_outbox RESTART IDENTITY`;
    await outbox.sql`TRUNCATE baton_progress`;
    await outbox.insert("new");
    await outbox.untilThere("old", "new");
  });

  test("a second relay on the same table waits, and says why", async () => {
    await using outbox = await start();
    await outbox.insert("first");
    await outbox.untilThere("first");
    await using other = await RelayProcess.start(outbox.env);
    await until("the reason", () => other.output.includes("another session reads the table"));
    expect(other.loggedErrors).toEqual([]);
  });

  test("with a mapping, a table of another shape is a source", async () => {
    const mapping = { topic: "{kind}:{key}", data: "{payload}", user_id: "{owner}" };
    await using outbox = await start({ table: "events", id: "uid", mapping });
    await outbox.sql`
      CREATE TABLE events (uid uuid PRIMARY KEY, kind text, key int, payload json, owner text)`;
    await outbox.sql`
      INSERT INTO events VALUES (gen_random_uuid(), 'order', 7, '{"a": 1.0}', 'u')`;
    await until("the row", async () => (await outbox.messages("order:7")).length === 1);
    expect(await outbox.messages("order:7")).toEqual([{ a: 1 }] as never);
    await until("the row to go", async () => (await outbox.sql`TABLE events`).length === 0);
  });

  test("a row that cannot be found by its id is said in the log, and is not asked for without an end", async () => {
    await using outbox = await start({ table: "odd" });
    await outbox.sql`CREATE TABLE odd (id int, topic text, message text)`;
    await outbox.sql`INSERT INTO odd VALUES (NULL, 't', 'm')`;
    await until("the reason", () =>
      outbox.relay.output.includes("must be a column that is unique"),
    );
    expect(outbox.relay.loggedErrors).toEqual([]);
    await outbox.sql`UPDATE odd SET id = 1`;
    await outbox.untilThere("m");
  });

  test("a missing table is said in the log, and is no error of the relay", async () => {
    await using outbox = await start({ table: "nowhere" });
    await until("the reason", () => outbox.relay.output.includes("there is no table nowhere"));
    expect(outbox.relay.loggedErrors).toEqual([]);
  });

  test("is read over TLS where the authority of its server is known, and not where it is not", async () => {
    const secured = { kind: "postgresql", url: `${server.url}?sslmode=verify-full` };
    const ca = readFileSync(authority.ca, "utf8");
    // It is what the database says, which has no tables.
    expect(await opened({ ...secured, ca })).toContain("there is no table baton_outbox");
    expect(await opened(secured)).toContain("certificate");
  });
});
