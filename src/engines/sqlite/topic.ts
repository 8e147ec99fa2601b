// One topic of the SQLite engine: what is known of it in memory, its row in the file, and the statements for both.
import type { TopicRule } from "../../relay/contracts/topic-rules";

/** What a topic takes beside its name, which stands in the index too. */
export const TOPIC_BYTES = 160;

const COLUMNS = "id, name, epoch, top, first, bytes";
const ROWS = "FROM publications WHERE topic = ?1";
const KEPT = `SELECT offset, json, about, data ${ROWS} AND offset > ?2 AND offset <= ?3 AND time > ?4`;

export type TopicRow = [number, string, string, number, number, number];

/** The statements of SqliteTopics. */
export const SQL = {
  epoch: "SELECT value FROM state WHERE name = 'epoch'",
  setEpoch: "INSERT OR REPLACE INTO state VALUES ('epoch', ?1)",
  bytes: "SELECT sum(bytes) FROM topics",
  topic: `SELECT ${COLUMNS} FROM topics WHERE name = ?1`,
  next: `SELECT ${COLUMNS} FROM topics WHERE id > ?1 ORDER BY id LIMIT ?2`,
  idle: `SELECT ${COLUMNS} FROM topics ORDER BY used LIMIT 1 OFFSET ?1`,
  create: `INSERT INTO topics (name, epoch, top, first, bytes, used) VALUES (?1, ?2, 0, 1, ?3, ?4)
    RETURNING ${COLUMNS}`,
  update: "UPDATE topics SET top = ?1, first = ?2, bytes = ?3, used = ?4 WHERE id = ?5",
  trim: "UPDATE topics SET bytes = ?1 WHERE id = ?2",
  remove: "DELETE FROM topics WHERE id = ?1",
  insert: "INSERT INTO publications VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
  read: `${KEPT} ORDER BY offset LIMIT ?5`,
  readBack: `${KEPT} ORDER BY offset DESC LIMIT ?5`,
  oldest: `SELECT offset, time ${ROWS} ORDER BY offset LIMIT 1`,
  sizes: `SELECT offset, size ${ROWS} ORDER BY offset LIMIT ?2`,
  beyond: `SELECT max(offset), sum(size) ${ROWS} AND offset < ?2`,
  stale: `SELECT max(offset), sum(size) FROM (
    SELECT offset, size, time ${ROWS} ORDER BY offset LIMIT ?2) WHERE offset < ?3 OR time <= ?4`,
  cut: "DELETE FROM publications WHERE topic = ?1 AND offset <= ?2",
} as const;

/** A topic that has a history, as it is known in memory. */
export interface StoredTopic {
  readonly id: number;
  readonly name: string;
  readonly epoch: string;
  readonly rule: TopicRule;
  /** The newest offset in the file, and the newest that was delivered. */
  top: number;
  delivered: number;
  /** Nothing before it is read: it was removed on demand. */
  first: number;
  /** The oldest offset in the file and its time; undefined when there is none. */
  oldest: { offset: number; time: number } | undefined;
  bytes: number;
}
