// The tables that a PostgreSQL source needs, as `baton sources ddl` prints them.

/** What its tables are called unless the file says otherwise. */
export const TABLES = {
  table: "baton_outbox",
  progress: "baton_progress",
  dead_letters: "baton_dead_letters",
} as const;

/** SQL for whoever owns the database. `table` is the name of the outbox: a plain name, in a schema or not. */
export function outboxDdl(table: string = TABLES.table): string {
  const trigger = `${table.replace(/^.*\./, "")}_notify`;
  return `-- The outbox of Baton. Insert a row in the transaction that makes it true: it is published after the commit, once.
CREATE TABLE ${table} (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic text NOT NULL,
  -- One of the two: text as it is, or JSON, whose bytes are kept (as jsonb would not).
  message text,
  data json,
  -- Only this user's connections get it.
  user_id text,
  -- What kind of message it is, for clients whose protocol names its messages.
  event text,
  created_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((message IS NULL) <> (data IS NULL))
);

-- The rows that Baton is publishing, of each source: after a crash it publishes these again, under the same positions.
CREATE TABLE IF NOT EXISTS ${TABLES.progress} (
  source text PRIMARY KEY,
  ids text[] NOT NULL,
  position bigint NOT NULL
);

-- Rows that could not be published, and why.
CREATE TABLE IF NOT EXISTS ${TABLES.dead_letters} (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source text NOT NULL,
  record json NOT NULL,
  code text NOT NULL,
  message text NOT NULL,
  buried_at timestamptz NOT NULL DEFAULT now()
);

-- Wakes Baton at each commit. Without it, rows are found within a second. PostgreSQL lets only one transaction at a
-- time commit a notification, so leave it out where many commit in each millisecond.
CREATE FUNCTION ${trigger}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NOTIFY baton_outbox;
  RETURN NULL;
END $$;
CREATE TRIGGER ${trigger} AFTER INSERT ON ${table}
  FOR EACH STATEMENT EXECUTE FUNCTION ${trigger}();

-- What the role needs that Baton connects as:
-- GRANT SELECT, DELETE ON ${table} TO baton;
-- GRANT SELECT, INSERT, UPDATE ON ${TABLES.progress} TO baton;
-- GRANT INSERT ON ${TABLES.dead_letters} TO baton;
`;
}
