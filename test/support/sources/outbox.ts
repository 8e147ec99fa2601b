// An outbox table as a source, in a database of its own, made with the DDL that Baton prints.
import { SQL } from "bun";
import { outboxDdl } from "../../../src/sources/postgresql/ddl";
import type { PostgresServer } from "./postgres-server";
import type { DeadLetter, SourceServer, TestRecord } from "./source-server";

/** Rows of one statement. */
const ROWS_MAX = 10_000;

export class Outbox implements SourceServer {
  readonly #server: PostgresServer;
  readonly #url: string;
  #sql: SQL;

  private constructor(server: PostgresServer, url: string) {
    this.#server = server;
    this.#url = url;
    this.#sql = new SQL(url, { max: 2 });
  }

  /** Makes one in a database of its own. */
  static async make(server: PostgresServer): Promise<Outbox> {
    const outbox = new Outbox(server, await server.database());
    await outbox.#sql.unsafe(outboxDdl()).simple();
    return outbox;
  }

  get declaration() {
    return { kind: "postgresql", url: this.#url };
  }

  async add(records: readonly TestRecord[]): Promise<void> {
    for (let i = 0; i < records.length; i += ROWS_MAX) {
      await this.#sql`
        INSERT INTO baton_outbox (topic, message, user_id)
        SELECT r.topic, r.message, r.user_id
        FROM json_to_recordset(${JSON.stringify(records.slice(i, i + ROWS_MAX))}::text::json)
          AS r(topic text, message text, user_id text)`;
    }
  }

  async addPoison(text: string): Promise<void> {
    // A line feed stands in no name of a topic.
    await this.#sql`INSERT INTO baton_outbox (topic, message) VALUES (E't\n', ${text})`;
  }

  async waiting(): Promise<number> {
    const [row] = await this.#sql`SELECT count(*)::int AS rows FROM baton_outbox`;
    return row.rows;
  }

  async deadLetters(): Promise<readonly DeadLetter[]> {
    return this.#sql`SELECT code, record::text AS record FROM baton_dead_letters ORDER BY id`;
  }

  async kill(): Promise<void> {
    await this.#server.kill();
    await this.#sql.close({ timeout: 0 });
  }

  async run(): Promise<void> {
    await this.#server.run();
    this.#sql = new SQL(this.#url, { max: 2 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sql.close({ timeout: 0 });
  }
}
