// What Redis does with topics: numbers and keeps publications, reads them, knows whether it has lost some.
import { scripts } from "./redis-script";

/**
 * Brings a topic's numbering to this life of the server's data: what is left of an earlier one means nothing. Answers
 * with its epoch and the newest offset. `candidate` is an epoch that was never used.
 */
const TOPIC = `
local function topic(meta, log, life, candidate)
  local known = redis.call('HMGET', meta, 'life', 'epoch', 'top')
  local now = redis.call('GET', life) or ''
  if known[1] == now then return known[2], tonumber(known[3]) end
  redis.call('DEL', log)
  redis.call('HSET', meta, 'life', now, 'epoch', candidate, 'top', '0')
  return candidate, 0
end
local function id(offset) return string.format('%.0f', offset) .. '-0' end
`;

/**
 * Numbers a publication, keeps it and tells it to the nodes that follow its topic.
 * KEYS: meta, log, life, count, and with an idempotency key: the list of keys, the answer.
 * ARGV: now, channel, sender, body, history size (0: none), history ttl, epoch candidate, meta ttl,
 * and with a key: its name, fingerprint, ttl, most keys.
 * Answers {"", offset, epoch, count}, {"again", offset, epoch}, {"conflict"} or {"full"}.
 */
const PUBLISH = `${TOPIC}
local now = tonumber(ARGV[1])
if KEYS[6] then
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', now)
  local known = redis.call('HMGET', KEYS[6], 'print', 'offset', 'epoch')
  if known[1] and redis.call('ZSCORE', KEYS[5], ARGV[9]) then
    if known[1] ~= ARGV[10] then return {'conflict'} end
    return {'again', known[2], known[3]}
  end
  if redis.call('ZCARD', KEYS[5]) >= tonumber(ARGV[12]) then return {'full'} end
end
local offset, epoch = '', ''
if ARGV[5] ~= '0' then
  epoch = topic(KEYS[1], KEYS[2], KEYS[3], ARGV[7])
  local top = redis.call('HINCRBY', KEYS[1], 'top', 1)
  offset = string.format('%.0f', top)
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], id(top), 't', ARGV[1], 'b', ARGV[4])
  redis.call('PEXPIRE', KEYS[2], ARGV[6])
  redis.call('PEXPIRE', KEYS[1], ARGV[8])
end
local count = redis.call('INCR', KEYS[4])
if KEYS[6] then
  redis.call('HSET', KEYS[6], 'print', ARGV[10], 'offset', offset, 'epoch', epoch)
  redis.call('PEXPIRE', KEYS[6], ARGV[11])
  redis.call('ZADD', KEYS[5], now + tonumber(ARGV[11]), ARGV[9])
  redis.call('PEXPIRE', KEYS[5], ARGV[11])
end
redis.call('PUBLISH', ARGV[2], offset .. '\\n' .. epoch .. '\\n' .. count .. '\\n' .. ARGV[3] .. '\\n' .. ARGV[4])
return {'', offset, epoch, count}
`;

/**
 * A part of a topic's history, without what is too old. KEYS: meta, log, life.
 * ARGV: now, history size, history ttl, epoch candidate, meta ttl, since ("": none), limit, "1" for newest first.
 * Answers {epoch, top, {offset, body, offset, body…}}. Cost: what is read, and the logarithm of what is kept.
 */
const READ = `${TOPIC}
local log = KEYS[2]
local epoch, top = topic(KEYS[1], log, KEYS[3], ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
local limit = tonumber(ARGV[7])
if limit <= 0 then return {epoch, string.format('%.0f', top), {}} end
local function at(offset)
  local found = redis.call('XRANGE', log, id(offset), '+', 'COUNT', 1)[1]
  if found then return tonumber(string.match(found[1], '^%d+')), tonumber(found[2][2]) end
end
-- Offsets and times grow together: the first that is not too old is found by halving.
local oldest = tonumber(ARGV[1]) - tonumber(ARGV[3])
local first, time = at(0)
if first and time <= oldest then
  local last = top + 1
  while first < last do
    local middle = math.floor((first + last) / 2)
    local offset, when = at(middle)
    if offset and when <= oldest then first = offset + 1 else last = middle end
  end
  redis.call('XTRIM', log, 'MINID', id(first))
end
first = math.max(first or 0, top - tonumber(ARGV[2]) + 1)
local found
if ARGV[8] == '1' then
  local last = ARGV[6] == '' and '+' or id(math.max(0, tonumber(ARGV[6]) - 1))
  found = redis.call('XREVRANGE', log, last, id(first), 'COUNT', limit)
else
  local from = math.max(first, (tonumber(ARGV[6]) or 0) + 1)
  found = redis.call('XRANGE', log, id(from), '+', 'COUNT', limit)
end
local items = {}
for _, entry in ipairs(found) do
  items[#items + 1] = string.match(entry[1], '^%d+')
  items[#items + 1] = entry[2][4]
end
return {epoch, string.format('%.0f', top), items}
`;

/**
 * Where topics are. KEYS: life, then a meta and a log for each. ARGV: epoch candidate, then the ttl of each meta.
 * Answers epoch, top, epoch, top…
 */
const POSITIONS = `${TOPIC}
local places = {}
for i = 2, #ARGV do
  local meta = KEYS[2 * i - 2]
  local epoch, top = topic(meta, KEYS[2 * i - 1], KEYS[1], ARGV[1])
  redis.call('PEXPIRE', meta, ARGV[i])
  places[#places + 1] = epoch
  places[#places + 1] = string.format('%.0f', top)
end
return places
`;

/**
 * A node has connected. A server that was started again, or took over from another, may have lost the end of its data:
 * it has, when a node has heard of more publications than it knew of when the first node found it. Then all histories
 * begin anew. KEYS: run, count, life. ARGV: the server's run id, the most publications that the node has heard of in an
 * earlier run ("" for none), a new life. Answers 1 when they began anew.
 */
const JOIN = `
local run = redis.call('HMGET', KEYS[1], 'id', 'base', 'lost')
if run[1] ~= ARGV[1] then
  run[2] = redis.call('GET', KEYS[2]) or '0'
  run[3] = false
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'id', ARGV[1], 'base', run[2])
end
if ARGV[2] == '' or tonumber(ARGV[2]) <= tonumber(run[2]) or run[3] then return 0 end
redis.call('HSET', KEYS[1], 'lost', '1')
redis.call('SET', KEYS[3], ARGV[3])
return 1
`;

export const TOPICS = scripts({ PUBLISH, READ, POSITIONS, JOIN });
