// A publication as a row of the file and back, and what it takes there.
import type { Publication } from "../../relay/contracts/publication";

/** offset, json, about, data: as SqliteTopics selects them. */
export type Row = [offset: number, json: 0 | 1 | null, about: string | null, data: string];

/** What a row takes beside its text, with the room that SQLite leaves free in its pages: measured. */
const ROW_BYTES = 40;
/** Beyond so much of a row, the rest of it stands on pages of its own. */
const LOCAL_BYTES = 950;
const PAGE_BYTES = 4_096;

type Part = Pick<Publication, "user" | "info" | "tags" | "except">;

export function rowOf(publication: Publication): {
  readonly json: 0 | 1 | null;
  readonly about: string | null;
  readonly data: string;
  /** In bytes of the file. */
  readonly size: number;
} {
  const { data, json, user, info, tags, except } = publication;
  const isPlain =
    user === undefined && info === undefined && tags === undefined && except === undefined;
  const about = isPlain ? null : JSON.stringify({ user, info, tags, except } satisfies Part);
  const text = Buffer.byteLength(data) + (about === null ? 0 : Buffer.byteLength(about));
  const isLong = text > LOCAL_BYTES;
  return {
    json: json === undefined ? null : json ? 1 : 0,
    about,
    data,
    size: isLong ? (Math.ceil(text / PAGE_BYTES) + 0.25) * PAGE_BYTES : ROW_BYTES + text,
  };
}

export function publicationOf(
  topic: string,
  epoch: string,
  [offset, json, about, data]: Row,
): Publication {
  const part = about === null ? undefined : (JSON.parse(about) as Part);
  const marked = json === null ? { topic, data } : { topic, data, json: json === 1 };
  return { ...marked, ...part, offset, epoch };
}
