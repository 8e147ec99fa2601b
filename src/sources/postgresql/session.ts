// One session of PostgreSQL, which ends when a statement takes too long: Bun's client would wait for ever for a server that is silent.
import { type ReservedSQL, SQL } from "bun";
import { answered } from "../silence";
import { certificatesOf } from "../tls";
import type { PostgresqlOptions } from "./options";

const CONNECT_TIMEOUT_S = 5;

/** How long a statement may take. The server gives up a little earlier, with a better sentence. */
const STATEMENT_MS = 30_000;
const SILENCE_MS = STATEMENT_MS + 5_000;

/**
 * The server ends the session, and so its lock, when the machine of this process has not been there for about 20 s or, from
 * version 14 on, when the process has done nothing for a minute: it may be stopped. A reader asks once a second.
 */
const SETTINGS = `SET statement_timeout = ${STATEMENT_MS}; SET idle_in_transaction_session_timeout = ${STATEMENT_MS};
SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
SELECT set_config('idle_session_timeout', '60000', false) WHERE current_setting('server_version_num')::int >= 140000`;

/** What a statement says that reaches another session than the one before: Bun's client has given both the same name. */
const OTHER_SESSION = /prepared statement "\w+" (already exists|does not exist)/;

/** Parameters of a statement. */
type Parameters = readonly (string | number | readonly string[] | readonly number[])[];

export class Session {
  readonly #sql: SQL;
  readonly #session: ReservedSQL;

  private constructor(sql: SQL, session: ReservedSQL) {
    this.#sql = sql;
    this.#session = session;
  }

  /** Rejects when the server cannot be reached, or refuses. */
  static async open(options: PostgresqlOptions): Promise<Session> {
    const { url } = options;
    const tls = certificatesOf(options);
    const sql = new SQL(url, {
      max: 1,
      connectionTimeout: CONNECT_TIMEOUT_S,
      prepare: true,
      ...(tls !== undefined && { tls }),
    });
    try {
      const session = new Session(sql, await sql.reserve());
      await session.#within(session.#session.unsafe(SETTINGS).simple());
      return session;
    } catch (error) {
      await sql.close({ timeout: 0 });
      const { code, message } = error as { code?: string; message: string };
      const isAway = code === "ERR_POSTGRES_CONNECTION_REFUSED";
      throw isAway ? new Error(`${new URL(url).host} cannot be reached: ${message}`) : error;
    }
  }

  /** Runs a statement. */
  rows<Row>(statement: string, parameters: Parameters = []): Promise<Row[]> {
    return this.#within(this.#session.unsafe(statement, [...parameters]) as Promise<Row[]>);
  }

  /** Runs statements in one transaction. */
  async transaction<Value>(work: () => Promise<Value>): Promise<Value> {
    await this.rows("BEGIN");
    try {
      const value = await work();
      await this.rows("COMMIT");
      return value;
    } catch (error) {
      // Whatever has failed, the session is closed next.
      this.rows("ROLLBACK").catch(() => {});
      throw error;
    }
  }

  /** Calls this at each notification, and whenever the session that listens was connected, since those of the time before are lost. */
  async listen(channel: string, wake: () => void): Promise<void> {
    await this.#sql.listen(channel, wake, wake);
  }

  /** What waits for an answer rejects. Never rejects itself. */
  async close(): Promise<void> {
    await this.#sql.close({ timeout: 0 }).catch(() => {});
  }

  async #within<Value>(answer: Promise<Value>): Promise<Value> {
    try {
      return await answered(answer, SILENCE_MS, () => void this.close());
    } catch (error) {
      const { message } = error as Error;
      if (!OTHER_SESSION.test(message)) throw error;
      throw new Error(`${message}: url must not be that of a pooler in transaction mode`);
    }
  }
}
