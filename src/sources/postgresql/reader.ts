// Reads an outbox as the only one of all: an advisory lock of its session says so. Ids are not the order of commits, so nothing rests on
// them: the reader writes down which rows it publishes next, and gives them positions that rise whatever their ids are. After a crash
// the same rows are published under the same positions. Positions are moments, so that a table which is made anew, or restored from
// a backup, goes on above the old one.
import {
  BATCH_BYTES_MAX,
  BATCH_RECORDS_MAX,
  type DeadRecord,
  type InboundRecord,
  READ_WAIT_MS,
  type Reader,
  type SourceContext,
} from "../contract";
import { TABLES } from "./ddl";
import type { PostgresqlOptions } from "./options";
import { Session } from "./session";

/** The first half of the key of the advisory lock, "bato"; the other is made of the number of the table. */
const LOCK = 0x62_61_74_6f;

/** How many rows a reader fetches first, before it knows how large they are: a thousand of 10 MB would take longer than a statement may. */
const FIRST_ROWS = 50;

/** A bigint has at most as many. */
const POSITION_DIGITS = 19;

/** Beyond this, rows that wait are not counted. */
const LAG_MAX = 100_000;

/** What the reader has written down: rows by their ids, and the position before that of the first. */
interface Progress {
  readonly ids: readonly string[];
  readonly position: string;
}

interface Row {
  readonly n: string;
  readonly id: string;
  /** JSON text; null where it is too large. */
  readonly row: string | null;
  readonly size: number;
}

interface OutboxRecord extends InboundRecord {
  readonly id: string;
}

/** The names of tables and of the column as SQL writes them. */
interface Names {
  readonly table: string;
  readonly progress: string;
  readonly dead: string;
  readonly id: string;
  /** The type of the ids. */
  readonly type: string;
}

export class PostgresqlReader implements Reader<OutboxRecord> {
  readonly #session: Session;
  readonly #names: Names;
  readonly #context: SourceContext;
  #progress: Progress;
  /** How many of the ids the last `read` has given, and how many the next one asks for. */
  #given = 0;
  #asked = FIRST_ROWS;
  /** The first of the ids whose rows were gone. */
  #left: string | undefined;
  #wake = Promise.withResolvers<void>();

  private constructor(
    session: Session,
    { names, progress, context }: { names: Names; progress: Progress; context: SourceContext },
  ) {
    this.#session = session;
    this.#names = names;
    this.#progress = progress;
    this.#context = context;
  }

  /** Rejects when the server cannot be reached, a table is missing, or another session reads the outbox. */
  static async open(options: PostgresqlOptions, context: SourceContext): Promise<PostgresqlReader> {
    const session = await Session.open(options);
    try {
      const names = await namesIn(session, options);
      const progress = await lockedProgress(session, names, context.name);
      const reader = new PostgresqlReader(session, { names, progress, context });
      await session.listen(options.channel ?? "baton_outbox", () => reader.#wake.resolve());
      return reader;
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  async read(): Promise<readonly OutboxRecord[]> {
    if (this.#progress.ids.length === 0) await this.#next();
    if (this.#progress.ids.length === 0) {
      await this.#woken();
      await this.#next();
    }
    if (this.#progress.ids.length === 0) return [];
    const asked = this.#progress.ids.slice(0, this.#asked);
    const rows = await this.#rows(asked);
    // A row that somebody else has deleted is among the ids, and not among the rows.
    this.#given = Number(rows.at(-1)?.n ?? asked.length);
    if (rows.length === 0) {
      await this.#leave(asked);
      return [];
    }
    const size = rows.reduce((sum, row) => sum + row.size, 0) / rows.length;
    this.#asked = Math.min(Math.ceil(BATCH_BYTES_MAX / size), BATCH_RECORDS_MAX);
    const base = BigInt(this.#progress.position);
    return rows.map(({ n, id, row, size }) => ({
      id,
      partition: "",
      position: String(base + BigInt(n)).padStart(POSITION_DIGITS, "0"),
      body: row ?? undefined,
      ...(row === null && { size }),
    }));
  }

  async acknowledge(dead: readonly DeadRecord<OutboxRecord>[]): Promise<void> {
    const { table, dead: deadTable, id, type } = this.#names;
    const done = this.#progress.ids.slice(0, this.#given);
    await this.#session.transaction(async () => {
      if (dead.length > 0) {
        await this.#session.rows(
          `INSERT INTO ${deadTable} (source, record, code, message)
           SELECT $1, row_to_json(t), d.code, d.message FROM unnest($2::text[], $3::text[], $4::text[])
             WITH ORDINALITY AS d(id, code, message, n) JOIN ${table} t ON t.${id} = d.id::${type} ORDER BY d.n`,
          [
            this.#context.name,
            dead.map(({ record }) => record.id),
            dead.map(({ reason }) => reason.code),
            dead.map(({ reason }) => reason.message),
          ],
        );
      }
      await this.#session.rows(`DELETE FROM ${table} WHERE ${id} = ANY ($1::text[]::${type}[])`, [
        done,
      ]);
      await this.#advance();
    });
    this.#given = 0;
  }

  async lag(): Promise<number> {
    const [counted] = await this.#session.rows<{ waiting: string }>(
      `SELECT count(*) AS waiting FROM (SELECT FROM ${this.#names.table} LIMIT ${LAG_MAX}) AS rows_waiting`,
    );
    return Number(counted?.waiting);
  }

  async close(): Promise<void> {
    this.#wake.resolve();
    await this.#session.close();
  }

  /** Somebody else has deleted these rows. Rejects where they are there, and cannot be found by their ids: they would come again and again. */
  async #leave(ids: readonly string[]): Promise<void> {
    if (ids[0] === this.#left) {
      throw new Error(
        `the row whose id is ${ids[0]} cannot be found by that: the id must be a column that is unique and not null`,
      );
    }
    this.#left = ids[0];
    await this.acknowledge([]);
  }

  /** Leaves what was given behind and, when nothing is left, writes down what comes next: one commit for both. */
  async #advance(): Promise<void> {
    const { progress } = this.#names;
    const { ids, position } = this.#progress;
    const rest = ids.slice(this.#given);
    const base = String(BigInt(position) + BigInt(this.#given));
    this.#progress = { ids: rest, position: base };
    if (rest.length > 0 || !(await this.#next())) {
      await this.#session.rows(
        `UPDATE ${progress} SET ids = $2::text[], position = $3::bigint WHERE source = $1`,
        [this.#context.name, rest, base],
      );
    }
  }

  /** Writes down which rows are next, when none are left; whether there are any. */
  async #next(): Promise<boolean> {
    const { table, progress, id } = this.#names;
    const [next] = await this.#session.rows<Progress>(
      `INSERT INTO ${progress} AS p (source, ids, position)
       SELECT $1, n.ids, greatest($2::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
       FROM (SELECT array_agg(o.id ORDER BY o.n) AS ids FROM
         (SELECT t.${id}::text AS id, row_number() OVER (ORDER BY t.${id}) AS n FROM ${table} t ORDER BY t.${id} LIMIT ${BATCH_RECORDS_MAX}) AS o) AS n
       WHERE n.ids IS NOT NULL
       ON CONFLICT (source) DO UPDATE SET ids = excluded.ids, position = excluded.position
       RETURNING p.ids, p.position::text AS position`,
      [this.#context.name, this.#progress.position],
    );
    if (next === undefined) return false;
    this.#progress = next;
    return true;
  }

  /** The rows that are next, until they are large enough. One that is too large is not fetched. */
  #rows(ids: readonly string[]): Promise<Row[]> {
    const { table, id, type } = this.#names;
    return this.#session.rows<Row>(
      `SELECT n, id, CASE WHEN size <= ${this.#context.bodyBytesMax} THEN row END AS row, size FROM (
         SELECT w.n, w.id, r.row, octet_length(r.row) AS size, sum(octet_length(r.row)) OVER (ORDER BY w.n) AS total
         FROM unnest($1::text[]) WITH ORDINALITY AS w(id, n) JOIN ${table} t ON t.${id} = w.id::${type}
         CROSS JOIN LATERAL (SELECT row_to_json(t)::text AS row) AS r) AS o
       WHERE total - size < ${BATCH_BYTES_MAX} ORDER BY n`,
      [ids],
    );
  }

  /** Resolves at the next notification, or after READ_WAIT_MS. */
  async #woken(): Promise<void> {
    const timer = setTimeout(() => this.#wake.resolve(), READ_WAIT_MS);
    await this.#wake.promise;
    clearTimeout(timer);
    this.#wake = Promise.withResolvers();
  }
}

async function namesIn(session: Session, options: PostgresqlOptions): Promise<Names> {
  const { table = TABLES.table, progress = TABLES.progress, id = "id" } = options;
  const { dead_letters: dead = TABLES.dead_letters } = options;
  const [names] = await session.rows<Record<keyof Names, string | null>>(
    `SELECT to_regclass($1)::text AS table, to_regclass($2)::text AS progress, to_regclass($3)::text AS dead, quote_ident($4) AS id,
       (SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $4 AND NOT attisdropped) AS type`,
    [table, progress, dead, id],
  );
  if (names === undefined) throw new Error("the server has not answered");
  for (const [name, wanted] of Object.entries({ table, progress, dead })) {
    if (names[name as keyof Names] === null) {
      throw new Error(
        `there is no table ${wanted}, or this role may not see it; baton sources ddl prints what it should be`,
      );
    }
  }
  if (names.type === null) throw new Error(`the table ${table} has no column ${id}`);
  return names as Names;
}

/** What was being published when the last reader ended. Rejects while another session reads the table. */
async function lockedProgress(
  session: Session,
  { table, progress }: Names,
  source: string,
): Promise<Progress> {
  const [lock] = await session.rows<{ taken: boolean }>(
    `SELECT pg_try_advisory_lock($1::int, hashoid($2::regclass::oid)) AS taken`,
    [LOCK, table],
  );
  if (lock?.taken !== true) {
    throw new Error(`another session reads the table ${table}, and one at a time can`);
  }
  await session.rows(
    `INSERT INTO ${progress} (source, ids, position) VALUES ($1, '{}', 0) ON CONFLICT (source) DO NOTHING`,
    [source],
  );
  const [found] = await session.rows<Progress>(
    `SELECT ids, position::text AS position FROM ${progress} WHERE source = $1`,
    [source],
  );
  return found ?? { ids: [], position: "0" };
}
