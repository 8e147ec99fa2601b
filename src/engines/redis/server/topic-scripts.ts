// The scripts for topics: they number and keep publications, read them, and find out whether the server has lost some.
//
// A topic's numbering is one text: the generation of the server's data, the topic's epoch, its top (the newest offset). A topic to
// which nothing was published has no numbering, so that asking for a million names costs nothing. All such topics share one epoch, at
// offset 0, and a topic's first publication continues from there. The same offset of the same epoch must never mean two publications,
// though Redis may evict any key at any time. So the key of the shared epoch also has a bit for each of many hashes of names. A
// topic that takes the epoch as its own sets its bit; where the bit is set already, the topic gets a new epoch instead. After
// SHARED_EPOCH_MS another shared epoch begins.
//
// A topic's history is a Redis stream, and the id of an entry is the publication's offset and then its moment. Where the append-only
// file ends amid a script, Redis ignores that half when it starts, but leaves it in the file, and executes it at the start after
// that, before what was written since (https://github.com/valkey-io/valkey/pull/4342). So PUBLISH writes whole values, never "one
// more", and what was written since sets them right. Of two entries with one offset the later one counts, and entries beyond
// the top do not count.
import type { HistoryPage, HistoryRange } from "../../../relay/contracts/engine";
import type { Position, Publication } from "../../../relay/contracts/publication";
import { fitting } from "../../../relay/topics/history";
import type { Keys } from "./keys";
import type { RedisLink } from "./link";
import { NOT_SET, scripts, TRUE, textOf } from "./script";
import { linesOf, publicationOf } from "./wire";

/** How long a numbering is kept after it was last needed, beyond the history; and when nothing was published in its epoch. */
const NUMBERING_MS = 86_400_000;
const EMPTY_NUMBERING_MS = 600_000;

/** Less than NUMBERING_MS: a topic whose numbering has expired comes back under another epoch. */
const SHARED_EPOCH_MS = 43_200_000;

/** By how much a later publication may seem to be earlier, in microseconds: nodes know the server's time no better. */
const CLOCK_SLACK_MICROS = 50_000;

/** How many entries of a history are read at a time at most: between two of these reads it is seen whether that is enough. */
const ENTRIES_MAX = 16;

/** The shared epoch's key begins with the epoch, in 16 bytes; its bits follow. */
const EPOCH_BYTES = 16;

/** What all scripts for topics have in common. `candidate` is an epoch that was never used. */
export const COMMON = `
-- A whole number as text. In a range of a stream, an offset so written means all entries with it.
local function whole(number) return string.format('%.0f', number) end
local function idOf(entry)
  local offset, moment = string.match(entry[1], '^(%d+)-(%d+)$')
  return tonumber(offset), tonumber(moment)
end
-- Epoch and top of a numbering; nothing where there is none in this generation of the data.
local function parse(numbering, generation)
  if not numbering then return end
  local its, epoch, top = string.match(numbering, '^(%S*) (%S+) (%d+)$')
  if its == (generation or '') then return epoch, tonumber(top) end
end
local function ttlOf(top, historyTtl)
  return top > 0 and ${NUMBERING_MS} + tonumber(historyTtl) or ${EMPTY_NUMBERING_MS}
end
local function setNumbering(key, generation, epoch, top, historyTtl)
  local numbering = (generation or '') .. ' ' .. epoch .. ' ' .. whole(top)
  redis.call('SET', key, numbering, 'PX', whole(ttlOf(top, historyTtl)))
end
-- The epoch and top of a topic without a numbering. It takes the epoch as its own when \`isKept\`, or when it cannot share one. A topic
-- that has had the epoch \`mine\` since before the bit was set may take that.
local function begin(key, history, generation, shared, bit, candidate, isKept, mine)
  local epoch = string.match(redis.call('GETRANGE', shared, 0, ${EPOCH_BYTES - 1}), '^%S+')
  if not epoch then
    redis.call('SET', shared, string.format('%-${EPOCH_BYTES}s', candidate), 'PX', ${SHARED_EPOCH_MS})
    epoch = candidate
  elseif redis.call('GETBIT', shared, ${EPOCH_BYTES * 8} + bit) == 1 and epoch ~= mine then
    epoch = candidate
    isKept = true
  end
  if isKept then
    redis.call('SETBIT', shared, ${EPOCH_BYTES * 8} + bit, 1)
    redis.call('DEL', history)
    setNumbering(key, generation, epoch, 0, 0)
  end
  return epoch, 0
end
`;

/**
 * Reads a part of a topic's history, without what is too old. KEYS: numbering, history, generation, shared epoch.
 * ARGV: now, history size, history ttl, candidate, bit, since (NOT_SET), limit, TRUE for newest first, how many bytes are enough.
 * Answers {epoch, top, first offset, last offset, {offset, bodies, offset, bodies…}, end}: the parts of entries that have those
 * offsets, newest first if that was asked, and the offset before which the last one ends.
 * Cost: what is read, and the logarithm of what is kept.
 */
const READ = `${COMMON}
local history = KEYS[2]
local generation, numbering = unpack(redis.call('MGET', KEYS[3], KEYS[1]))
local epoch, top = parse(numbering, generation)
if not epoch then
  return {begin(KEYS[1], history, generation, KEYS[4], tonumber(ARGV[5]), ARGV[4], false), 0, 1, 0, {}, 1}
end
redis.call('PEXPIRE', KEYS[1], ttlOf(top, ARGV[3]))
local limit, bytesMax = tonumber(ARGV[7]), tonumber(ARGV[9])
if limit <= 0 then return {epoch, top, 1, 0, {}, 1} end
local function from(offset)
  local found = redis.call('XRANGE', history, whole(offset), whole(top), 'COUNT', 1)[1]
  if found then return idOf(found) end
end
-- Offsets and moments grow together: the first entry that is not too old is found by bisection.
local expired = tonumber(ARGV[1]) - tonumber(ARGV[3]) * 1000
local first, moment = from(0)
if first and moment <= expired then
  local last = top + 1
  while first < last do
    local middle = math.floor((first + last) / 2)
    local offset, its = from(middle)
    if offset and its <= expired then first = offset + 1 else last = middle end
  end
  redis.call('XTRIM', history, 'MINID', whole(first))
end
first = math.max(first or 1, top - tonumber(ARGV[2]) + 1)
local last, items, bytes, isReversed = top, {}, 0, ARGV[8] == '${TRUE}'
-- Adds those publications of an entry that have offsets from \`first\` to \`to\`, as far as the bytes reach, but one in any case.
local function addPart(offset, bodies, to)
  local lines, place, start, count = {}, offset, 1, 0
  while start do
    local stop = string.find(bodies, '\\n', start, true)
    if place >= first and place <= to then lines[#lines + 1] = string.sub(bodies, start, stop and stop - 1 or -1) end
    place, start = place + 1, stop and stop + 1
  end
  while count < #lines and (bytes < bytesMax or #items + count == 0) do
    count = count + 1
    bytes = bytes + #lines[isReversed and #lines + 1 - count or count]
  end
  if count == 0 then return end
  local begin = isReversed and #lines - count + 1 or 1
  items[#items + 1] = math.max(offset, first) + begin - 1
  items[#items + 1] = table.concat(lines, '\\n', begin, begin + count - 1)
end
-- Adds entries, as many as it takes; isEnd says that one is beyond the end.
local function add(command, id, other, isEnd)
  -- An entry may be large: so many more are read as are still wanted, if they are like those before.
  local count, entries, before, itemsBefore, bytesBefore = 1, 0, nil, 0, 0
  while true do
    local some = redis.call(command, history, id, other, 'COUNT', whole(count))
    for _, entry in ipairs(some) do
      local offset = idOf(entry)
      if isEnd(offset, before) then return offset end
      -- Of two entries with one offset the later one counts.
      if offset == before and not isReversed then
        while #items > itemsBefore do items[#items] = nil end
        bytes = bytesBefore
      end
      if offset ~= before or not isReversed then
        itemsBefore, bytesBefore = #items, bytes
        addPart(offset, entry[2][2], isReversed and before and math.min(last, before - 1) or last)
        before, entries = offset, entries + 1
      end
    end
    if #some < count then return top + 1 end
    local wanted = entries * (bytesMax - bytes) / math.max(bytes, 1)
    count = math.max(1, math.min(${ENTRIES_MAX}, math.ceil(wanted)))
    id = '(' .. some[#some][1]
  end
end
if isReversed then
  last = math.min(top, (tonumber(ARGV[6]) or top + 1) - 1)
  first = math.max(first, last - limit + 1)
  if last < first then return {epoch, top, 1, 0, {}, 1} end
  add('XREVRANGE', whole(last), '-', function()
    return #items > 0 and (items[#items - 1] <= first or bytes >= bytesMax)
  end)
  return {epoch, top, first, last, items, last + 1}
end
first = math.max(first, (tonumber(ARGV[6]) or 0) + 1)
last = math.min(top, first + limit - 1)
if last < first then return {epoch, top, 1, 0, {}, 1} end
-- An entry that begins before the first offset may have it.
local start = redis.call('XREVRANGE', history, whole(first), '-', 'COUNT', 1)[1]
local ends = add('XRANGE', start and start[1] or whole(first), '+', function(offset, before)
  return offset > last or #items > 0 and bytes >= bytesMax and offset ~= before
end)
return {epoch, top, first, last, items, ends}
`;

interface ReadOptions {
  readonly topic: string;
  readonly now: number;
  readonly historySize: number;
  readonly historyTtlMs: number;
  readonly epochCandidate: string;
  readonly range: HistoryRange;
}

/** Epoch, top, first and last offset, entries, and the offset before which the last entry ends. */
type ReadAnswer = [string, number, number, number, (number | string)[], number];

/**
 * Where topics are, and where each was at a moment. KEYS: generation, shared epoch, then the numbering and history of each topic.
 * ARGV: candidate, now, then for each topic: bit, history ttl, the moment (NOT_SET for now), the epoch that a topic without
 * a publication is to keep (NOT_SET when it need not). Answers epoch, top, the offset at that moment, epoch…
 */
const POSITIONS = `${COMMON}
-- The offset at a moment, but not beyond a point where the clock was set back, as by a failover: older publications may seem newer there.
local function offsetAt(history, top, moment, now)
  local at, last, latest = top, whole(top), now
  while true do
    local some = redis.call('XREVRANGE', history, last, '-', 'COUNT', 8)
    for _, entry in ipairs(some) do
      local offset, its = idOf(entry)
      if its < moment or its > latest + ${CLOCK_SLACK_MICROS} then return at end
      at = offset - 1
      latest = its
    end
    if #some < 8 then return at end
    last = whole(at)
  end
end
local generation = redis.call('GET', KEYS[1])
local positions = {}
for i = 3, #KEYS, 2 do
  local a = (i - 3) * 2 + 3
  local epoch, top = parse(redis.call('GET', KEYS[i]), generation)
  if epoch then redis.call('PEXPIRE', KEYS[i], ttlOf(top, ARGV[a + 1]))
  else
    local bit, mine = tonumber(ARGV[a]), ARGV[a + 3]
    epoch, top = begin(KEYS[i], KEYS[i + 1], generation, KEYS[2], bit, ARGV[1], mine ~= '${NOT_SET}', mine)
  end
  local at = top
  if top > 0 and ARGV[a + 2] ~= '${NOT_SET}' then
    at = offsetAt(KEYS[i + 1], top, tonumber(ARGV[a + 2]), tonumber(ARGV[2]))
  end
  positions[#positions + 1] = epoch
  positions[#positions + 1] = whole(top)
  positions[#positions + 1] = whole(at)
end
return positions
`;

/** What a node asks about the position of one topic. */
export interface PositionQuery {
  readonly topic: string;
  /** A moment, in microseconds of the server's clock. */
  readonly since?: number | undefined;
  /** The epoch that a topic without a publication is to keep, because it has been followed for a while. */
  readonly keptEpoch?: string | undefined;
}

/** The top of a topic, and its newest offset at the moment of the query. */
export interface PositionAnswer extends Position {
  readonly offsetAtSince: number;
}

export const TOPIC_SCRIPTS = scripts({ READ, POSITIONS });

/** Runs these scripts with their keys and arguments in the order that they expect. All reject with EngineUnavailable. */
export class TopicCalls {
  readonly #link: RedisLink;
  readonly #keys: Keys;

  constructor(link: RedisLink, keys: Keys) {
    this.#link = link;
    this.#keys = keys;
  }

  async read(options: ReadOptions): Promise<HistoryPage> {
    const { topic, range } = options;
    const names = this.#keys;
    const answer = await this.#link.run<ReadAnswer>(
      TOPIC_SCRIPTS.READ,
      [names.numbering(topic), names.history(topic), names.dataGeneration, names.sharedEpoch],
      [
        String(options.now),
        String(options.historySize),
        String(options.historyTtlMs),
        options.epochCandidate,
        names.epochTakenBit(topic),
        textOf(range.since),
        String(range.limit),
        textOf(range.reverse),
        String(range.size),
      ],
    );
    if (range.reverse === true) answer[4] = ascending(answer[4]);
    const publications = publicationsOf(topic, answer);
    if (range.reverse === true) publications.reverse();
    return {
      top: { epoch: answer[0], offset: answer[1] },
      publications: fitting(publications, range.size),
    };
  }

  /** Answers in the order of the queries. Cost: the number of topics, and of publications since the moments. */
  async positions(
    queries: readonly (PositionQuery & { readonly historyTtlMs: number })[],
    now: number,
    epochCandidate: string,
  ): Promise<PositionAnswer[]> {
    const names = this.#keys;
    const keys = [names.dataGeneration, names.sharedEpoch];
    const args = [epochCandidate, String(now)];
    for (const { topic, historyTtlMs, since, keptEpoch } of queries) {
      keys.push(names.numbering(topic), names.history(topic));
      args.push(names.epochTakenBit(topic), String(historyTtlMs), textOf(since), textOf(keptEpoch));
    }
    const all = await this.#link.run<string[]>(TOPIC_SCRIPTS.POSITIONS, keys, args);
    return queries.map((_, i) => {
      const [epoch = "", offset, offsetAtSince] = all.slice(3 * i, 3 * i + 3);
      return { epoch, offset: Number(offset), offsetAtSince: Number(offsetAtSince) };
    });
  }
}

/** The publications that were asked for, oldest first. */
function publicationsOf(
  topic: string,
  [epoch, , first, last, items, end]: ReadAnswer,
): Publication[] {
  const publications: Publication[] = [];
  for (let i = 0; i < items.length; i += 2) {
    const begin = items[i] as number;
    const next = (items[i + 2] as number | undefined) ?? end;
    for (const [place, body] of linesOf(items[i + 1] as string).entries()) {
      const offset = begin + place;
      // The later entry of an offset counts.
      if (offset >= next || offset > last) break;
      if (offset >= first) publications.push(publicationOf(topic, String(offset), epoch, body));
    }
  }
  return publications;
}

/** Entries in the other order. */
function ascending(items: readonly (number | string)[]): (number | string)[] {
  const found: (number | string)[] = [];
  for (let i = items.length - 2; i >= 0; i -= 2) found.push(...items.slice(i, i + 2));
  return found;
}
