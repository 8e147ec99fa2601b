// One topic of the SQLite engine, its publications, and the statements for both: what is known in memory, and the rows in the file.
import type { Publication } from "../../relay/contracts/publication";
import type { TopicRule } from "../../relay/contracts/topic-rules";

/** What a topic takes in the file besides its name, which stands in the index too. */
export const TOPIC_BYTES = 160;

/** What a publication takes besides its text, with the space that SQLite leaves free in its pages. Measured. */
const PUBLICATION_BYTES = 40;

/** When a row's text is longer than this, the rest of it stands on pages of its own. */
const LOCAL_BYTES_MAX = 950;
const PAGE_BYTES = 4_096;

/** Such a row also takes this share of a page for its beginning. Measured. */
const LOCAL_PAGES = 0.25;

/** A topic that has a history, as it is known in memory. */
export interface StoredTopic {
  readonly id: number;
  readonly name: string;
  readonly epoch: string;
  rule: TopicRule;
  /** The newest offset in the file, and the newest that was delivered. */
  top: number;
  delivered: number;
  /** The first offset that may be read: all before it were removed on demand. */
  first: number;
  /** The oldest publication in the file; undefined when there is none. */
  oldest: { offset: number; time: number } | undefined;
  bytes: number;
}

/** A row of `topics`, as COLUMNS says. */
export type TopicRow = [
  id: number,
  name: string,
  epoch: string,
  top: number,
  first: number,
  bytes: number,
];

/** A row of `publications`, as it is read. */
export type PublicationRow = [
  offset: number,
  json: 0 | 1 | null,
  about: string | null,
  data: string,
];

/** What few publications have; a row keeps it as JSON. */
type Extras = Pick<Publication, "user" | "info" | "tags" | "except" | "event" | "push">;

const COLUMNS = "id, name, epoch, top, first, bytes";
const ROWS = "FROM publications WHERE topic = ?1";
const READABLE = `SELECT offset, json, about, data ${ROWS} AND offset > ?2 AND offset <= ?3 AND time > ?4`;

/** The statements of SqliteTopics. */
export const SQL = {
  epoch: "SELECT value FROM state WHERE name = 'epoch'",
  setEpoch: "INSERT OR REPLACE INTO state VALUES ('epoch', ?1)",
  bytes: "SELECT sum(bytes) FROM topics",
  topic: `SELECT ${COLUMNS} FROM topics WHERE name = ?1`,
  nextTopics: `SELECT ${COLUMNS} FROM topics WHERE id > ?1 ORDER BY id LIMIT ?2`,
  leastRecent: `SELECT ${COLUMNS} FROM topics ORDER BY used LIMIT 1 OFFSET ?1`,
  createTopic: `INSERT INTO topics (name, epoch, top, first, bytes, used) VALUES (?1, ?2, 0, 1, ?3, ?4)
    RETURNING ${COLUMNS}`,
  updateTopic: "UPDATE topics SET top = ?1, first = ?2, bytes = ?3, used = ?4 WHERE id = ?5",
  setBytes: "UPDATE topics SET bytes = ?1 WHERE id = ?2",
  removeTopic: "DELETE FROM topics WHERE id = ?1",
  insert: "INSERT INTO publications VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
  read: `${READABLE} ORDER BY offset LIMIT ?5`,
  readReversed: `${READABLE} ORDER BY offset DESC LIMIT ?5`,
  oldest: `SELECT offset, time ${ROWS} ORDER BY offset LIMIT 1`,
  sizes: `SELECT offset, size ${ROWS} ORDER BY offset LIMIT ?2`,
  lastBefore: `SELECT max(offset), sum(size) ${ROWS} AND offset < ?2`,
  lastBeforeOrTooOld: `SELECT max(offset), sum(size) FROM (
    SELECT offset, size, time ${ROWS} ORDER BY offset LIMIT ?2) WHERE offset < ?3 OR time <= ?4`,
  removeUpTo: "DELETE FROM publications WHERE topic = ?1 AND offset <= ?2",
} as const;

/** What stands of a publication in its row, and how many bytes of the file that takes. */
export function rowOf({ data, json, user, info, tags, except, event, push }: Publication): {
  readonly json: 0 | 1 | null;
  readonly about: string | null;
  readonly data: string;
  readonly size: number;
} {
  const hasExtras =
    user !== undefined ||
    info !== undefined ||
    tags !== undefined ||
    except !== undefined ||
    event !== undefined ||
    push !== undefined;
  const extras = { user, info, tags, except, event, push } satisfies Extras;
  const about = hasExtras ? JSON.stringify(extras) : null;
  const text = Buffer.byteLength(data) + (about === null ? 0 : Buffer.byteLength(about));
  return {
    json: json === undefined ? null : json ? 1 : 0,
    about,
    data,
    size:
      text > LOCAL_BYTES_MAX
        ? (Math.ceil(text / PAGE_BYTES) + LOCAL_PAGES) * PAGE_BYTES
        : PUBLICATION_BYTES + text,
  };
}

export function publicationOf(
  topic: string,
  epoch: string,
  [offset, json, about, data]: PublicationRow,
): Publication {
  const extras = about === null ? undefined : (JSON.parse(about) as Extras);
  const payload = json === null ? { topic, data } : { topic, data, json: json === 1 };
  return { ...payload, ...extras, offset, epoch };
}
