// What Redis does with topics: numbers and keeps publications, reads them, knows whether it has lost some.
//
// A topic's numbering is one text, its meta: life, epoch, top (its newest offset). One that nothing was published to has none,
// so that asking for a million names costs nothing: they share the epoch of the key `blank`, at offset 0, and a topic's
// first publication goes on from there. A life under an epoch must never come twice, though Redis may drop any key that it
// wants: so `blank` has beside its epoch a bit for each of many marks (hashes of names), set when a topic takes the epoch as
// its own. Where the bit is set already, the topic gets an epoch of its own. After BLANK_MS there is another `blank`.
//
// A publication's place in its topic's log is its offset and then its moment. Where the append-only file ends amid a script, Redis
// passes over that half when it starts, but leaves it in the file, and does it at the start after that, before what was written
// since (https://github.com/valkey-io/valkey/pull/4342). So PUBLISH writes each value outright, never "one more", for what was
// written since to set right; of two places with one offset the later one counts; and nothing counts beyond the top.
import { scripts } from "./script";

/** How long a topic's meta is kept after it was last needed, beyond its history; without publications, the shorter time. */
const META_MS = 86_400_000;
const EMPTY_MS = 600_000;

/** Less than META_MS: a topic whose meta has come to an end comes back under another epoch. */
const BLANK_MS = 43_200_000;

/** By how much, in microseconds, a later publication may seem earlier: nodes know the server's time no better. */
const SLACK = 50_000;

/** How many marks there are: with 10,000 topics begun since, one in a hundred finds its own set. They take 128 KiB. */
export const MARKS = 2 ** 20;

/** `candidate` is an epoch that was never used. */
const TOPIC = `
-- A whole number as text; in a range of a log, an offset so written means all places with it.
local function whole(number) return string.format('%.0f', number) end
local function placeOf(entry)
  local offset, time = string.match(entry[1], '^(%d+)-(%d+)$')
  return tonumber(offset), tonumber(time)
end
-- Epoch and top of a meta; nothing where there is none of this life of the data.
local function known(meta, life)
  if not meta then return end
  local its, epoch, top = string.match(meta, '^(%S*) (%S+) (%d+)$')
  if its == (life or '') then return epoch, tonumber(top) end
end
local function lasts(top, ttl) return top > 0 and ${META_MS} + tonumber(ttl) or ${EMPTY_MS} end
local function keep(key, life, epoch, top, ttl)
  redis.call('SET', key, (life or '') .. ' ' .. epoch .. ' ' .. whole(top), 'PX', lasts(top, ttl))
end
-- The epoch of a topic that is not known. It becomes the topic's own when \`isKept\`, or when it cannot be shared; who has had
-- \`mine\` since before the bit was set may take it.
local function begin(key, log, life, blank, mark, candidate, isKept, mine)
  local epoch = string.match(redis.call('GETRANGE', blank, 0, 15), '^%S+')
  if not epoch then
    redis.call('SET', blank, string.format('%-16s', candidate), 'PX', ${BLANK_MS})
    epoch = candidate
  elseif redis.call('GETBIT', blank, 128 + mark) == 1 and epoch ~= mine then
    epoch = candidate
    isKept = true
  end
  if isKept then
    redis.call('SETBIT', blank, 128 + mark, 1)
    redis.call('DEL', log)
    keep(key, life, epoch, 0, 0)
  end
  return epoch, 0
end
`;

/**
 * Numbers a publication, keeps it and tells it to the nodes that follow its topic.
 * KEYS: meta, log, life, count, blank, and with an idempotency key: the list of keys, the answer.
 * ARGV: now, channel, call, body, history size (0: none), history ttl, epoch candidate, mark, and with a key: its name,
 * fingerprint, ttl, most keys.
 * Answers {"", offset, epoch, count}, {"again", offset, epoch}, {"conflict"} or {"full"}. The first thing that it writes is
 * one that a server without memory refuses, since Redis does not stop a script that has begun to write.
 */
const PUBLISH = `${TOPIC}
local now = tonumber(ARGV[1])
if KEYS[7] then
  local has = redis.call('HMGET', KEYS[7], 'print', 'offset', 'epoch')
  local ends = redis.call('ZSCORE', KEYS[6], ARGV[9])
  if has[1] and ends and tonumber(ends) > now then
    if has[1] ~= ARGV[10] then return {'conflict'} end
    return {'again', has[2], has[3]}
  end
  if redis.call('ZCOUNT', KEYS[6], '(' .. ARGV[1], '+inf') >= tonumber(ARGV[12]) then return {'full'} end
end
local life, last, meta = unpack(redis.call('MGET', KEYS[3], KEYS[4], KEYS[1]))
local count = tonumber(last or 0) + 1
redis.call('SET', KEYS[4], whole(count))
local offset, epoch = '', ''
if ARGV[5] ~= '0' then
  local top
  epoch, top = known(meta, life)
  if not epoch then epoch, top = begin(KEYS[1], KEYS[2], life, KEYS[5], tonumber(ARGV[8]), ARGV[7], true) end
  top = top + 1
  offset = whole(top)
  local first = whole(math.max(0, top - tonumber(ARGV[5]) + 1))
  redis.call('XADD', KEYS[2], 'MINID', '~', first, offset .. '-' .. ARGV[1], 'b', ARGV[4])
  redis.call('PEXPIRE', KEYS[2], ARGV[6])
  keep(KEYS[1], life, epoch, top, ARGV[6])
end
if KEYS[7] then
  redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', now)
  redis.call('HSET', KEYS[7], 'print', ARGV[10], 'offset', offset, 'epoch', epoch)
  redis.call('PEXPIRE', KEYS[7], ARGV[11])
  redis.call('ZADD', KEYS[6], now + tonumber(ARGV[11]) * 1000, ARGV[9])
  redis.call('PEXPIRE', KEYS[6], ARGV[11])
end
redis.call('PUBLISH', ARGV[2], offset .. '\\n' .. epoch .. '\\n' .. count .. '\\n' .. ARGV[3] .. '\\n' .. ARGV[4])
return {'', offset, epoch, count}
`;

/**
 * A part of a topic's history, without what is too old. KEYS: meta, log, life, blank.
 * ARGV: now, history size, history ttl, epoch candidate, mark, since ("": none), limit, "1" for newest first.
 * Answers {epoch, top, {offset, body, offset, body…}}. Cost: what is read, and the logarithm of what is kept.
 */
const READ = `${TOPIC}
local log = KEYS[2]
local life, meta = unpack(redis.call('MGET', KEYS[3], KEYS[1]))
local epoch, top = known(meta, life)
if not epoch then
  return {begin(KEYS[1], log, life, KEYS[4], tonumber(ARGV[5]), ARGV[4], false), '0', {}}
end
redis.call('PEXPIRE', KEYS[1], lasts(top, ARGV[3]))
local limit = tonumber(ARGV[7])
if limit <= 0 then return {epoch, whole(top), {}} end
local function at(offset)
  local found = redis.call('XRANGE', log, whole(offset), whole(top), 'COUNT', 1)[1]
  if found then return placeOf(found) end
end
-- Offsets and times grow together: the first that is not too old is found by halving.
local oldest = tonumber(ARGV[1]) - tonumber(ARGV[3]) * 1000
local first, time = at(0)
if first and time <= oldest then
  local last = top + 1
  while first < last do
    local middle = math.floor((first + last) / 2)
    local offset, when = at(middle)
    if offset and when <= oldest then first = offset + 1 else last = middle end
  end
  redis.call('XTRIM', log, 'MINID', whole(first))
end
first = math.max(first or 0, top - tonumber(ARGV[2]) + 1)
local isReverse = ARGV[8] == '1'
local found
if isReverse then
  local last = math.min(top, (tonumber(ARGV[6]) or top + 1) - 1)
  found = redis.call('XREVRANGE', log, whole(math.max(0, last)), whole(first), 'COUNT', limit)
else
  local from = math.max(first, (tonumber(ARGV[6]) or 0) + 1)
  found = redis.call('XRANGE', log, whole(from), whole(top), 'COUNT', limit)
end
local items = {}
for _, entry in ipairs(found) do
  local offset, body = string.match(entry[1], '^%d+'), entry[2][2]
  if items[#items - 1] ~= offset then
    items[#items + 1] = offset
    items[#items + 1] = body
  elseif not isReverse then items[#items] = body end
end
-- The later place of the last offset may be on the next page.
if #found == limit and not isReverse then
  items[#items] = redis.call('XREVRANGE', log, items[#items - 1], items[#items - 1], 'COUNT', 1)[1][2][2]
end
return {epoch, whole(top), items}
`;

/**
 * Where topics are, and where each was at a moment. KEYS: life, blank, then a meta and a log for each. ARGV: epoch candidate,
 * now, then for each: mark, history ttl, the moment ("": now), the epoch under which a topic without a publication shall last ("":
 * it need not). Answers epoch, top, the offset at that moment, epoch…
 */
const POSITIONS = `${TOPIC}
-- Not beyond a point where the clock was set back, as by a failover: older publications may seem newer there.
local function before(log, top, moment, now)
  local at, last, latest = top, whole(top), now
  while true do
    local some = redis.call('XREVRANGE', log, last, '-', 'COUNT', 8)
    for _, entry in ipairs(some) do
      local offset, time = placeOf(entry)
      if time < moment or time > latest + ${SLACK} then return at end
      at = offset - 1
      latest = time
    end
    if #some < 8 then return at end
    last = whole(at)
  end
end
local life = redis.call('GET', KEYS[1])
local places = {}
for i = 3, #KEYS, 2 do
  local a = (i - 3) * 2 + 3
  local epoch, top = known(redis.call('GET', KEYS[i]), life)
  if epoch then redis.call('PEXPIRE', KEYS[i], lasts(top, ARGV[a + 1]))
  else
    local mark, mine = tonumber(ARGV[a]), ARGV[a + 3]
    epoch, top = begin(KEYS[i], KEYS[i + 1], life, KEYS[2], mark, ARGV[1], mine ~= '', mine)
  end
  local at = top
  if top > 0 and ARGV[a + 2] ~= '' then at = before(KEYS[i + 1], top, tonumber(ARGV[a + 2]), tonumber(ARGV[2])) end
  places[#places + 1] = epoch
  places[#places + 1] = whole(top)
  places[#places + 1] = whole(at)
end
return places
`;

/**
 * A node has connected. A server that was started again, or took over from another, may have lost the end of its data: it
 * has, when a node has heard of more publications than it knows of, or knew of when the first node found it. Then all
 * histories begin anew, once in a run. Terms of claims never fall behind those of an earlier run either.
 * KEYS: run, count, life, blank, terms. ARGV: the server's run id, the most publications that the node has heard of ("" for
 * a node that has just started), "1" where that was in this run too, a new life, a term greater than all before.
 * Answers {1 when histories began anew, count}.
 */
const JOIN = `
local run = redis.call('HMGET', KEYS[1], 'id', 'base', 'lost')
local count = tonumber(redis.call('GET', KEYS[2]) or 0)
if run[1] ~= ARGV[1] then
  run = {ARGV[1], count, false}
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'id', run[1], 'base', count)
  if tonumber(ARGV[5]) > tonumber(redis.call('GET', KEYS[5]) or 0) then redis.call('SET', KEYS[5], ARGV[5]) end
end
local has = ARGV[3] == '1' and count or tonumber(run[2])
if ARGV[2] == '' or tonumber(ARGV[2]) <= has or run[3] then return {0, count} end
redis.call('HSET', KEYS[1], 'lost', '1')
redis.call('SET', KEYS[3], ARGV[4])
redis.call('DEL', KEYS[4])
return {1, count}
`;

/** Whether the server takes writes. KEYS: count. */
const TRY = "return redis.call('INCRBY', KEYS[1], 0)";

export const TOPICS = scripts({ PUBLISH, READ, POSITIONS, JOIN, TRY });
