// Records of sources, as every engine takes them: what a call may have, which positions are new, and the warning about records
// that lose to another publication.
import { RECORDS_MAX, type RecordsOutcome, type SourceRecord } from "../relay/contracts/store";

/** The longest position; more digits than any source counts with. */
const POSITION = /^\d{1,40}$/;

/** How often the log is told of conflicts. */
const WARN_MS = 60_000;

/** Throws RangeError where a call is more than RecordStore allows. */
export function checkRecords(records: readonly SourceRecord[]): void {
  if (records.length > RECORDS_MAX) {
    throw new RangeError(
      `${records.length} records are too many for one call: at most ${RECORDS_MAX}`,
    );
  }
  for (const { position } of records) {
    if (position !== undefined && !POSITION.test(position)) {
      throw new RangeError(`"${position}" is not a position: it must be 1 to 40 digits`);
    }
  }
}

/** Whether a position is above the last one. The positions of a partition have the same number of digits. */
export function isAbove(position: string, last: string | undefined): boolean {
  if (last === undefined || position.length > last.length) return true;
  return position.length === last.length && position > last;
}

/** The records in parts of about so many characters of data at most, in their order; at least one each. */
export function partsOf(
  records: readonly SourceRecord[],
  charactersMax: number,
): readonly (readonly SourceRecord[])[] {
  const parts: SourceRecord[][] = [];
  let part: SourceRecord[] = [];
  let characters = 0;
  for (const record of records) {
    const { length } = record.publication.data;
    if (part.length > 0 && characters + length > charactersMax) {
      parts.push(part);
      part = [];
      characters = 0;
    }
    part.push(record);
    characters += length;
  }
  if (part.length > 0) parts.push(part);
  return parts;
}

/** What became of all parts together. */
export function sumOf(outcomes: readonly RecordsOutcome[]): RecordsOutcome {
  let [published, repeated] = [0, 0];
  for (const outcome of outcomes) {
    published += outcome.published;
    repeated += outcome.repeated;
  }
  return { published, repeated };
}

interface RecordConflictsOptions {
  /** Monotonic, in ms. */
  readonly now: () => number;
  readonly warn: (sentence: string) => void;
}

/** Says, once in a while, that records were not published because of their keys. */
export class RecordConflicts {
  readonly #options: RecordConflictsOptions;
  #warnedAt = Number.NEGATIVE_INFINITY;
  #untold = 0;

  constructor({ now, warn }: RecordConflictsOptions) {
    this.#options = { now, warn };
  }

  /** So many records of a partition have the keys of other publications. */
  found(partition: string, count: number): void {
    const { now, warn } = this.#options;
    this.#untold += count;
    if (this.#untold === 0 || now() - this.#warnedAt < WARN_MS) return;
    warn(
      `Records of sources were not published, since their idempotency keys were used for other publications: ${this.#untold}, the last in ${partition}.`,
    );
    this.#warnedAt = now();
    this.#untold = 0;
  }
}
