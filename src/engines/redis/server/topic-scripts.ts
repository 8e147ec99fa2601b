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
import type { Keys } from "./keys";
import type { RedisLink } from "./link";
import { NOT_SET, scripts, TRUE, textOf } from "./script";
import { publicationOf } from "./wire";

/** How long a numbering is kept after it was last needed, beyond the history; and when nothing was published in its epoch. */
const NUMBERING_MS = 86_400_000;
const EMPTY_NUMBERING_MS = 600_000;

/** Less than NUMBERING_MS: a topic whose numbering has expired comes back under another epoch. */
const SHARED_EPOCH_MS = 43_200_000;

/** By how much a later publication may seem to be earlier, in microseconds: nodes know the server's time no better. */
const CLOCK_SLACK_MICROS = 50_000;

/** A history size of 0: the topic keeps no history. */
const NO_HISTORY = "0";

/** The shared epoch's key begins with the epoch, in 16 bytes; its bits follow. */
const EPOCH_BYTES = 16;

/**
 * How many idempotency keys a publish with one forgets at most, when there are too many or their time is over: more than the one
 * that it adds.
 */
const FORGET_MAX = 4;

/** What all scripts for topics have in common. `candidate` is an epoch that was never used. */
const COMMON = `
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
  redis.call('SET', key, numbering, 'PX', ttlOf(top, historyTtl))
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
 * Numbers a publication, keeps it, and publishes it to the nodes that follow its topic.
 * KEYS: numbering, history, generation, count, shared epoch; with an idempotency key also the set of keys and its first answer.
 * ARGV: now, channel, publish id, body, history size (NO_HISTORY), history ttl, candidate, bit; with a key also its name,
 * the fingerprint, the key's ttl, the most keys, what the names of first answers begin with.
 * Answers {"", offset, epoch, count, age}, {"again", offset, epoch} or {"conflict"}. The age, in ms, is that of a key which was
 * forgotten before its time, or -1. Its first write is one that a server without memory refuses, since Redis does not stop a
 * script that has begun to write.
 */
const PUBLISH = `${COMMON}
local now = tonumber(ARGV[1])
if KEYS[7] then
  local first = redis.call('HMGET', KEYS[7], 'print', 'offset', 'epoch')
  local ends = redis.call('ZSCORE', KEYS[6], ARGV[9])
  if first[1] and ends and tonumber(ends) > now then
    if first[1] ~= ARGV[10] then return {'conflict'} end
    return {'again', first[2], first[3]}
  end
end
local generation, last, numbering = unpack(redis.call('MGET', KEYS[3], KEYS[4], KEYS[1]))
local count = tonumber(last or 0) + 1
redis.call('SET', KEYS[4], whole(count))
local offset, epoch = '', ''
if ARGV[5] ~= '${NO_HISTORY}' then
  local top
  epoch, top = parse(numbering, generation)
  if not epoch then
    epoch, top = begin(KEYS[1], KEYS[2], generation, KEYS[5], tonumber(ARGV[8]), ARGV[7], true)
  end
  top = top + 1
  offset = whole(top)
  local oldest = whole(math.max(0, top - tonumber(ARGV[5]) + 1))
  redis.call('XADD', KEYS[2], 'MINID', '~', oldest, offset .. '-' .. ARGV[1], 'b', ARGV[4])
  redis.call('PEXPIRE', KEYS[2], ARGV[6])
  setNumbering(KEYS[1], generation, epoch, top, ARGV[6])
end
local age = -1
if KEYS[7] then
  redis.call('HSET', KEYS[7], 'print', ARGV[10], 'offset', offset, 'epoch', epoch)
  redis.call('PEXPIRE', KEYS[7], ARGV[11])
  redis.call('ZADD', KEYS[6], now + tonumber(ARGV[11]) * 1000, ARGV[9])
  redis.call('PEXPIRE', KEYS[6], ARGV[11])
  local tooMany = redis.call('ZCARD', KEYS[6]) - tonumber(ARGV[12])
  local oldest = redis.call('ZRANGE', KEYS[6], 0, ${FORGET_MAX - 1}, 'WITHSCORES')
  for i = 1, #oldest, 2 do
    local left = tonumber(oldest[i + 1]) - now
    if left > 0 then
      if tooMany <= 0 then break end
      age = tonumber(ARGV[11]) - math.ceil(left / 1000)
    end
    redis.call('ZREM', KEYS[6], oldest[i])
    redis.call('DEL', ARGV[13] .. oldest[i])
    tooMany = tooMany - 1
  end
end
redis.call('PUBLISH', ARGV[2], offset .. '\\n' .. epoch .. '\\n' .. count .. '\\n' .. ARGV[3] .. '\\n' .. ARGV[4])
return {'', offset, epoch, count, age}
`;

interface PublishOptions {
  readonly topic: string;
  readonly now: number;
  readonly publishId: string;
  readonly body: string;
  /** Publications kept; 0 for no history. */
  readonly historySize: number;
  readonly historyTtlMs: number;
  readonly epochCandidate: string;
  readonly idempotency: IdempotencyOptions | undefined;
}

interface IdempotencyOptions {
  readonly name: string;
  readonly fingerprint: string;
  readonly ttlMs: number;
  readonly keysMax: number;
}

/**
 * What became of it; offset and epoch ("" when the topic keeps no history), how many publications the server has taken, and the
 * age of an idempotency key that was forgotten before its time, or -1.
 */
export type PublishAnswer = ["" | "again" | "conflict", string, string, number, number];

/**
 * Reads a part of a topic's history, without what is too old. KEYS: numbering, history, generation, shared epoch.
 * ARGV: now, history size, history ttl, candidate, bit, since (NOT_SET), limit, TRUE for newest first.
 * Answers {epoch, top, {offset, body, offset, body…}}. Cost: what is read, and the logarithm of what is kept.
 */
const READ = `${COMMON}
local history = KEYS[2]
local generation, numbering = unpack(redis.call('MGET', KEYS[3], KEYS[1]))
local epoch, top = parse(numbering, generation)
if not epoch then
  return {begin(KEYS[1], history, generation, KEYS[4], tonumber(ARGV[5]), ARGV[4], false), '0', {}}
end
redis.call('PEXPIRE', KEYS[1], ttlOf(top, ARGV[3]))
local limit = tonumber(ARGV[7])
if limit <= 0 then return {epoch, whole(top), {}} end
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
first = math.max(first or 0, top - tonumber(ARGV[2]) + 1)
local isReverse = ARGV[8] == '${TRUE}'
local found
if isReverse then
  local last = math.min(top, (tonumber(ARGV[6]) or top + 1) - 1)
  found = redis.call('XREVRANGE', history, whole(math.max(0, last)), whole(first), 'COUNT', limit)
else
  local start = math.max(first, (tonumber(ARGV[6]) or 0) + 1)
  found = redis.call('XRANGE', history, whole(start), whole(top), 'COUNT', limit)
end
local items = {}
for _, entry in ipairs(found) do
  local offset, body = string.match(entry[1], '^%d+'), entry[2][2]
  if items[#items - 1] ~= offset then
    items[#items + 1] = offset
    items[#items + 1] = body
  elseif not isReverse then items[#items] = body end
end
-- The later entry of the last offset may be on the next page.
if #found == limit and not isReverse then
  items[#items] = redis.call('XREVRANGE', history, items[#items - 1], items[#items - 1], 'COUNT', 1)[1][2][2]
end
return {epoch, whole(top), items}
`;

interface ReadOptions {
  readonly topic: string;
  readonly now: number;
  readonly historySize: number;
  readonly historyTtlMs: number;
  readonly epochCandidate: string;
  readonly range: HistoryRange;
}

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

export const TOPIC_SCRIPTS = scripts({ PUBLISH, READ, POSITIONS });

/** Runs these scripts with their keys and arguments in the order that they expect. All reject with EngineUnavailable. */
export class TopicCalls {
  readonly #link: RedisLink;
  readonly #keys: Keys;

  constructor(link: RedisLink, keys: Keys) {
    this.#link = link;
    this.#keys = keys;
  }

  publish(options: PublishOptions): Promise<PublishAnswer> {
    const { topic, idempotency } = options;
    const names = this.#keys;
    const keys = [
      names.numbering(topic),
      names.history(topic),
      names.dataGeneration,
      names.count,
      names.sharedEpoch,
    ];
    const args = [
      String(options.now),
      names.channel(topic),
      options.publishId,
      options.body,
      String(options.historySize),
      String(options.historyTtlMs),
      options.epochCandidate,
      names.epochTakenBit(topic),
    ];
    if (idempotency !== undefined) {
      const { name, fingerprint, ttlMs, keysMax } = idempotency;
      keys.push(names.idempotencyKeys, names.firstAnswer(name));
      args.push(name, fingerprint, String(ttlMs), String(keysMax), names.firstAnswer(""));
    }
    return this.#link.run<PublishAnswer>(TOPIC_SCRIPTS.PUBLISH, keys, args);
  }

  async read(options: ReadOptions): Promise<HistoryPage> {
    const { topic, range } = options;
    const names = this.#keys;
    const [epoch, top, items] = await this.#link.run<[string, string, string[]]>(
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
      ],
    );
    const publications: Publication[] = [];
    for (let i = 0; i < items.length; i += 2) {
      publications.push(publicationOf(topic, items[i] as string, epoch, items[i + 1] as string));
    }
    return { top: { epoch, offset: Number(top) }, publications };
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
