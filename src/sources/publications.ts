// Turns a batch of a source into publications of the engine: by its mapping, with all checks that POST /publish has, and in the order of each
// partition. What cannot be published is left over, with the reason.
import { Refusal } from "../relay/contracts/errors";
import type { Publication } from "../relay/contracts/publication";
import { RECORDS_MAX, type SourceRecord } from "../relay/contracts/store";
import type { PublishCommand } from "../relay/publishing/publisher";
import type { DeadRecord, InboundRecord } from "./contract";
import type { RecordShape } from "./shapes/record-shape";

/** About how many characters of data one call of the engine takes, or one publication. */
const CALL_CHARACTERS_MAX = 2_097_152;

/** A record may ask for up to 1,000 publications: each has the position of the record with its own number behind it. */
const PLACE_DIGITS = 4;

/** The engine takes 40. */
const POSITION = /^\d{1,36}$/;

/** What one call of the engine is given. */
interface Call {
  readonly partition: string;
  readonly records: SourceRecord[];
  characters: number;
}

export interface Sorted {
  /** Those of one partition in their order. */
  readonly calls: readonly Call[];
  readonly dead: readonly DeadRecord[];
  /** Tombstones that are to be skipped. */
  readonly skipped: number;
}

export interface PublicationsOptions {
  readonly mapping: RecordShape;
  /** How the names of topics begin that the source may publish to; undefined where it may to all. */
  readonly topics: readonly string[] | undefined;
  readonly check: (command: PublishCommand) => Publication | Refusal;
}

/** Sorts a batch. Cost: the length of its bodies. */
export function sortedBatch(batch: readonly InboundRecord[], options: PublicationsOptions): Sorted {
  const calls: Call[] = [];
  const last = new Map<string, Call>();
  const dead: DeadRecord[] = [];
  let skipped = 0;
  for (const record of batch) {
    const found = publicationsOf(record, options);
    if (found instanceof Refusal) {
      dead.push({ record, reason: found });
      continue;
    }
    if (found.length === 0) skipped++;
    for (const [place, one] of found.entries()) {
      const call = callFor(record.partition, one, { calls, last });
      call.records.push(sourceRecord(record, one, place));
    }
  }
  return { calls, dead, skipped };
}

interface Wanted {
  readonly publication: Publication;
  readonly key: string | undefined;
}

/** All publications that a record asks for: one that is refused refuses the record. */
function publicationsOf(
  record: InboundRecord,
  { mapping, topics, check }: PublicationsOptions,
): readonly Wanted[] | Refusal {
  const { position } = record;
  if (position !== undefined && !POSITION.test(position)) {
    return new Refusal("invalid_body", "The position of the record has more than 36 digits.");
  }
  const commands = mapping.commandsOf(record);
  if (commands instanceof Refusal) return commands;
  const wanted: Wanted[] = [];
  for (const command of commands) {
    const isAllowed = topics?.some((prefix) => command.topic.startsWith(prefix)) ?? true;
    if (!isAllowed) {
      const only = "This source may only publish to the topics that BATON_SOURCES_FILE lists.";
      return new Refusal("permission_denied", only);
    }
    const publication = check(command);
    if (publication instanceof Refusal) return publication;
    wanted.push({ publication, key: command.idempotency_key ?? record.key });
  }
  return wanted;
}

/** The call that takes the next publication of a partition: a new one where the last has enough. */
function callFor(
  partition: string,
  { publication: { data } }: Wanted,
  { calls, last }: { calls: Call[]; last: Map<string, Call> },
): Call {
  let call = last.get(partition);
  const isFull =
    call !== undefined &&
    (call.records.length === RECORDS_MAX || call.characters + data.length > CALL_CHARACTERS_MAX);
  if (call === undefined || isFull) {
    call = { partition, records: [], characters: 0 };
    calls.push(call);
    last.set(partition, call);
  }
  call.characters += data.length;
  return call;
}

function sourceRecord(
  { position }: InboundRecord,
  { publication, key }: Wanted,
  place: number,
): SourceRecord {
  if (position === undefined) return { publication, key };
  return { publication, position: position + String(place).padStart(PLACE_DIGITS, "0") };
}

/** The position of a record in that of one of its publications. */
export function recordPosition(position: string): string {
  return position.slice(0, -PLACE_DIGITS);
}
