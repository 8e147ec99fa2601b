// What Redis does with registrations: those that wait for their clients, and those that a node holds.
import { scripts } from "./redis-script";

/** Connections of a user, or of a machine: each node has its part of a hash, and the parts of dead nodes do not count. */
const COUNT = `
local function count(key, prefix, me)
  local sum = 0
  local parts = redis.call('HGETALL', key)
  for i = 1, #parts, 2 do
    if parts[i] == me or redis.call('EXISTS', prefix .. 'node:' .. parts[i]) == 1 then
      sum = sum + tonumber(parts[i + 1])
    else redis.call('HDEL', key, parts[i]) end
  end
  return sum
end
local function add(key, node, change, ttl)
  if redis.call('HINCRBY', key, node, change) <= 0 then redis.call('HDEL', key, node)
  else redis.call('PEXPIRE', key, ttl) end
end
local function users(prefix, user) return prefix .. 'user:' .. user end
local function waiting(key, now)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  return redis.call('ZCARD', key)
end
`;

// Each registration is a hash: user, topics (JSON), node ("" while it waits), its machine, term, until (while it waits), kind
// ("r", or "s" for a connection that was not registered), gone (it was removed, and is kept for those who have not heard).

/**
 * KEYS: the registration, those that wait. ARGV: now, this node, prefix, id, user, topics, ttl, most that wait, most
 * connections of a user, slack. Answers {"" or "user" or "full", how many wait}.
 */
const ADD = `${COUNT}
local now = tonumber(ARGV[1])
if ARGV[5] ~= '' and count(users(ARGV[3], ARGV[5]), ARGV[3], ARGV[2]) >= tonumber(ARGV[9]) then
  return {'user', waiting(KEYS[2], now)}
end
local waits = waiting(KEYS[2], now)
if waits >= tonumber(ARGV[8]) then return {'full', waits} end
local until_ = now + tonumber(ARGV[7])
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'user', ARGV[5], 'topics', ARGV[6], 'node', '', 'until', until_, 'kind', 'r')
redis.call('PEXPIRE', KEYS[1], ARGV[7] + ARGV[10])
redis.call('ZADD', KEYS[2], until_, ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[7] + ARGV[10])
return {'', waits + 1}
`;

/**
 * KEYS: the registration, those that wait, terms. ARGV: now, this node, prefix, id, most connections of a user, this
 * node's machine ("": not counted), most connections of the machine, how long a held one lives.
 * Answers {"unknown" or "user" or "machine", how many wait} or {"", how many wait, user, topics, term, "1" for elsewhere}.
 */
const CLAIM = `${COUNT}
local now, me, prefix = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local waits = waiting(KEYS[2], now)
local known = redis.call('HMGET', KEYS[1], 'user', 'topics', 'node', 'until', 'kind', 'gone', 'machine')
local user, topics, node = known[1], known[2], known[3]
if not user or known[6] or known[5] ~= 'r' then return {'unknown', waits} end
local machine = prefix .. 'machine:' .. ARGV[6]
if node == '' then
  if tonumber(known[4]) <= now then return {'unknown', waits} end
  if user ~= '' and count(users(prefix, user), prefix, me) >= tonumber(ARGV[5]) then return {'user', waits} end
  if ARGV[6] ~= '' and count(machine, prefix, me) >= tonumber(ARGV[7]) then return {'machine', waits} end
  waits = waits - redis.call('ZREM', KEYS[2], ARGV[4])
end
if node ~= me then
  if node ~= '' and user ~= '' then add(users(prefix, user), node, -1, ARGV[8]) end
  if node ~= '' and known[7] then add(prefix .. 'machine:' .. known[7], node, -1, ARGV[8]) end
  if user ~= '' then add(users(prefix, user), me, 1, ARGV[8]) end
  if ARGV[6] ~= '' then add(machine, me, 1, ARGV[8]) end
end
local term = redis.call('INCR', KEYS[3])
redis.call('HSET', KEYS[1], 'node', me, 'machine', ARGV[6], 'term', term)
redis.call('PEXPIRE', KEYS[1], ARGV[8])
return {'', waits, user, topics, term, (node ~= '' and node ~= me) and '1' or ''}
`;

/** As CLAIM, for a connection that was not registered. ARGV after prefix: id, user, as in CLAIM. */
const HOLD = `${COUNT}
local me, prefix, user = ARGV[2], ARGV[3], ARGV[5]
local machine = prefix .. 'machine:' .. ARGV[7]
if user ~= '' and count(users(prefix, user), prefix, me) >= tonumber(ARGV[6]) then return {'user'} end
if ARGV[7] ~= '' and count(machine, prefix, me) >= tonumber(ARGV[8]) then return {'machine'} end
if user ~= '' then add(users(prefix, user), me, 1, ARGV[9]) end
if ARGV[7] ~= '' then add(machine, me, 1, ARGV[9]) end
redis.call('HSET', KEYS[1], 'user', user, 'topics', '', 'node', me, 'machine', ARGV[7], 'term', 0, 'kind', 's')
redis.call('PEXPIRE', KEYS[1], ARGV[9])
return {''}
`;

/**
 * KEYS: the registration, those that wait. ARGV: now, this node, prefix, id, term, "1" when it waits, ttl, most that
 * wait, slack, machine, how long a held one lives. Answers how many wait.
 */
const RELEASE = `${COUNT}
local now, me, prefix = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local waits = waiting(KEYS[2], now)
local known = redis.call('HMGET', KEYS[1], 'user', 'node', 'term', 'kind', 'gone')
if known[2] ~= me or known[3] ~= ARGV[5] or known[5] then return waits end
if known[1] ~= '' then add(users(prefix, known[1]), me, -1, ARGV[11]) end
if ARGV[10] ~= '' then add(prefix .. 'machine:' .. ARGV[10], me, -1, ARGV[11]) end
if known[4] ~= 'r' or ARGV[6] ~= '1' or waits >= tonumber(ARGV[8]) then
  redis.call('DEL', KEYS[1])
  return waits
end
local until_ = now + tonumber(ARGV[7])
redis.call('HSET', KEYS[1], 'node', '', 'until', until_)
redis.call('PEXPIRE', KEYS[1], ARGV[7] + ARGV[9])
redis.call('ZADD', KEYS[2], until_, ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[7] + ARGV[9])
return waits + 1
`;

/**
 * KEYS: the registration, those that wait. ARGV: now, this node, prefix, id, how long a removed one is remembered.
 * Answers {how many wait, "" for none, "here" or "elsewhere"}.
 */
const REMOVE = `${COUNT}
local now, me, prefix = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local waits = waiting(KEYS[2], now)
local known = redis.call('HMGET', KEYS[1], 'user', 'node', 'until', 'gone', 'machine')
local user, node = known[1], known[2]
if not user or known[4] then return {waits, ''} end
if node == '' then
  waits = waits - redis.call('ZREM', KEYS[2], ARGV[4])
  redis.call('DEL', KEYS[1])
  return {waits, tonumber(known[3]) > now and 'here' or ''}
end
if user ~= '' then add(users(prefix, user), node, -1, ARGV[5]) end
if known[5] then add(prefix .. 'machine:' .. known[5], node, -1, ARGV[5]) end
redis.call('DEL', KEYS[1])
if node == me then return {waits, 'here'} end
redis.call('HSET', KEYS[1], 'user', user, 'node', node, 'gone', '1')
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {waits, 'elsewhere'}
`;

/**
 * This node still holds these, or holds them again after the server has lost its data. KEYS: those that wait, terms, its
 * machine's count. ARGV: this node, prefix, how long a held one lives, machine, connections of this node, then for each: id,
 * user, topics, term, kind, connections of the user on this node. Answers those that it holds no more: id, "" when
 * removed or else the term of the newer claim, …
 */
const KEEP = `
local me, prefix, ttl = ARGV[1], ARGV[2], ARGV[3]
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[3], me, ARGV[5])
  redis.call('PEXPIRE', KEYS[3], ttl)
end
local lost = {}
for i = 6, #ARGV, 6 do
  local key = prefix .. 'registration:' .. ARGV[i]
  local known = redis.call('HMGET', key, 'node', 'term', 'gone')
  local term = tonumber(ARGV[i + 3])
  if known[3] then
    lost[#lost + 1] = ARGV[i]
    lost[#lost + 1] = ''
  elseif (tonumber(known[2] or 0)) > term then
    lost[#lost + 1] = ARGV[i]
    lost[#lost + 1] = known[2]
  else
    if known[1] ~= me or known[2] ~= ARGV[i + 3] then
      redis.call('ZREM', KEYS[1], ARGV[i])
      redis.call('HSET', key, 'user', ARGV[i + 1], 'topics', ARGV[i + 2], 'node', me, 'machine', ARGV[4], 'term', ARGV[i + 3], 'kind', ARGV[i + 4])
      if term > tonumber(redis.call('GET', KEYS[2]) or 0) then redis.call('SET', KEYS[2], ARGV[i + 3]) end
    end
    redis.call('PEXPIRE', key, ttl)
    if ARGV[i + 1] ~= '' then
      local users = prefix .. 'user:' .. ARGV[i + 1]
      redis.call('HSET', users, me, ARGV[i + 5])
      redis.call('PEXPIRE', users, ttl)
    end
  end
end
return lost
`;

/** KEYS: this node's sign of life, those that wait. ARGV: now, its ttl. Answers how many wait. */
const BEAT = `
redis.call('SET', KEYS[1], '1', 'PX', ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[1])
return redis.call('ZCARD', KEYS[2])
`;

export const REGISTRATIONS = scripts({ ADD, CLAIM, HOLD, RELEASE, REMOVE, KEEP, BEAT });
