// What Redis does with registrations: those that wait for their clients, and those that a node holds.
//
// Each is a hash: user, topics (JSON), node ("" while it waits), term, until (while it waits), kind ("r", or "s" for a
// connection that was not registered), gone (it was removed, and is kept for those who have not heard). A user's are a hash of
// id and node, and a machine's a hash of node and number, which only that node says. What is of dead nodes does not count.
import { scripts } from "./script";

/** A removed one, or one that a node holds, lives so long without a word of a node. */
const HELD_MS = 600_000;

/** What may wait beyond its time, since clocks differ. */
const SLACK_MS = 60_000;

/** A user's connections that are looked through in passing. */
const LOOK_MAX = 128;

/** The first five arguments of all but KEEP and BEAT: now, this node, prefix, machine ("": not counted), its number here. */
const COMMON = `
local function alive(prefix, node) return redis.call('EXISTS', prefix .. 'node:' .. node) == 1 end
local function waiting(key, now)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  return redis.call('ZCARD', key)
end
local function ofUser(prefix, user) return prefix .. 'user:' .. user end
-- Forgets those of dead nodes.
local function prune(key, prefix, me)
  local all = redis.call('HGETALL', key)
  local known = {[me] = true}
  for i = 1, #all, 2 do
    local node = all[i + 1]
    if known[node] == nil then known[node] = alive(prefix, node) end
    if not known[node] then redis.call('HDEL', key, all[i]) end
  end
end
local function hasRoom(prefix, user, most, me)
  if user == '' then return true end
  local key = ofUser(prefix, user)
  if redis.call('HLEN', key) < tonumber(most) then return true end
  prune(key, prefix, me)
  return redis.call('HLEN', key) < tonumber(most)
end
local function take(prefix, user, id, me)
  if user == '' then return end
  redis.call('HSET', ofUser(prefix, user), id, me)
  redis.call('PEXPIRE', ofUser(prefix, user), ${HELD_MS})
end
-- This node says its number, and hears that of all on the machine.
local function onMachine(prefix, machine, me, number)
  if machine == '' then return 0 end
  local key = prefix .. 'machine:' .. machine
  if number == '0' then redis.call('HDEL', key, me) else redis.call('HSET', key, me, number) end
  redis.call('PEXPIRE', key, ${HELD_MS})
  local sum = 0
  local parts = redis.call('HGETALL', key)
  for i = 1, #parts, 2 do
    if parts[i] == me or alive(prefix, parts[i]) then sum = sum + tonumber(parts[i + 1])
    else redis.call('HDEL', key, parts[i]) end
  end
  return sum
end
local function wait(key, list, now, id, ttl)
  local ends = now + tonumber(ttl) * 1000
  redis.call('HSET', key, 'node', '', 'until', ends)
  redis.call('PEXPIRE', key, ttl + ${SLACK_MS})
  redis.call('ZADD', list, ends, id)
  redis.call('PEXPIRE', list, ttl + ${SLACK_MS})
end
`;

const ABOUT = `${COMMON}
local now, me, prefix, machine, number, id = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
`;

/**
 * KEYS: the registration, those that wait. ARGV: as all, id, user, topics, ttl, most that wait, most connections of a user.
 * Answers {"" or "user" or "full", how many wait}.
 */
const ADD = `${ABOUT}
local waits = waiting(KEYS[2], now)
if not hasRoom(prefix, ARGV[7], ARGV[11], me) then return {'user', waits} end
if waits >= tonumber(ARGV[10]) then return {'full', waits} end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'user', ARGV[7], 'topics', ARGV[8], 'kind', 'r')
wait(KEYS[1], KEYS[2], now, id, ARGV[9])
return {'', waits + 1}
`;

/**
 * KEYS: the registration, those that wait, terms. ARGV: as all, id, most connections of a user, most of the machine.
 * Answers {"unknown" or "user" or "machine", how many wait} or {"", how many wait, user, topics, term, "1" for elsewhere}.
 */
const CLAIM = `${ABOUT}
local waits = waiting(KEYS[2], now)
local known = redis.call('HMGET', KEYS[1], 'user', 'topics', 'node', 'until', 'kind', 'gone')
local user, topics, node = known[1], known[2], known[3]
if not user or known[6] or known[5] ~= 'r' then return {'unknown', waits} end
if node == '' then
  if tonumber(known[4]) <= now then return {'unknown', waits} end
  if not hasRoom(prefix, user, ARGV[7], me) then return {'user', waits} end
  if onMachine(prefix, machine, me, number) > tonumber(ARGV[8]) then return {'machine', waits} end
  waits = waits - redis.call('ZREM', KEYS[2], id)
end
take(prefix, user, id, me)
local term = redis.call('INCR', KEYS[3])
redis.call('HSET', KEYS[1], 'node', me, 'term', term)
redis.call('PEXPIRE', KEYS[1], ${HELD_MS})
return {'', waits, user, topics, term, (node ~= '' and node ~= me) and '1' or ''}
`;

/** As CLAIM, for a connection that was not registered. ARGV: as all, id, user, as CLAIM. */
const HOLD = `${ABOUT}
local user = ARGV[7]
if not hasRoom(prefix, user, ARGV[8], me) then return {'user'} end
if onMachine(prefix, machine, me, number) > tonumber(ARGV[9]) then return {'machine'} end
take(prefix, user, id, me)
redis.call('HSET', KEYS[1], 'user', user, 'topics', '', 'node', me, 'term', 0, 'kind', 's')
redis.call('PEXPIRE', KEYS[1], ${HELD_MS})
return {''}
`;

/**
 * KEYS: the registration, those that wait. ARGV: as all, id, term ("": whichever), "1" when it waits, ttl, most that wait.
 * Answers how many wait.
 */
const RELEASE = `${ABOUT}
onMachine(prefix, machine, me, number)
local waits = waiting(KEYS[2], now)
local known = redis.call('HMGET', KEYS[1], 'user', 'node', 'term', 'kind', 'gone')
if known[2] ~= me or (ARGV[7] ~= '' and known[3] ~= ARGV[7]) or known[5] then return waits end
redis.call('HDEL', ofUser(prefix, known[1]), id)
if known[4] ~= 'r' or ARGV[8] ~= '1' or waits >= tonumber(ARGV[10]) then
  redis.call('DEL', KEYS[1])
  return waits
end
wait(KEYS[1], KEYS[2], now, id, ARGV[9])
return waits + 1
`;

/** KEYS: the registration, those that wait. ARGV: as all, id. Answers {how many wait, "" for none, "here" or "elsewhere"}. */
const REMOVE = `${ABOUT}
local waits = waiting(KEYS[2], now)
local known = redis.call('HMGET', KEYS[1], 'user', 'node', 'until', 'gone')
local user, node = known[1], known[2]
if not user or known[4] then return {waits, ''} end
redis.call('DEL', KEYS[1])
if node == '' then
  waits = waits - redis.call('ZREM', KEYS[2], id)
  return {waits, tonumber(known[3]) > now and 'here' or ''}
end
redis.call('HDEL', ofUser(prefix, user), id)
if node == me then return {waits, 'here'} end
redis.call('HSET', KEYS[1], 'user', user, 'node', node, 'gone', '1')
redis.call('PEXPIRE', KEYS[1], ${HELD_MS})
return {waits, 'elsewhere'}
`;

/**
 * This node still holds these, or holds them again after the server has lost its data. KEYS: those that wait, terms. ARGV:
 * this node, prefix, machine, its number here, then for each: id, user, topics, term, kind. Answers those that it holds no
 * more: id, "" when removed or else the term of the newer claim, …
 * The first thing that it writes needs no memory, so that a server without any goes on knowing what is held.
 */
const KEEP = `${COMMON}
local me, prefix = ARGV[1], ARGV[2]
redis.call('ZREM', KEYS[1], '')
onMachine(prefix, ARGV[3], me, ARGV[4])
local lost = {}
for i = 5, #ARGV, 5 do
  local id, user, term = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 3])
  local key = prefix .. 'registration:' .. id
  local known = redis.call('HMGET', key, 'node', 'term', 'gone')
  if known[3] then
    lost[#lost + 1] = id
    lost[#lost + 1] = ''
  elseif tonumber(known[2] or 0) > term then
    lost[#lost + 1] = id
    lost[#lost + 1] = known[2]
  else
    if known[1] ~= me or known[2] ~= ARGV[i + 3] then
      redis.call('ZREM', KEYS[1], id)
      redis.call('HSET', key, 'user', user, 'topics', ARGV[i + 2], 'node', me, 'term', ARGV[i + 3], 'kind', ARGV[i + 4])
      if term > tonumber(redis.call('GET', KEYS[2]) or 0) then redis.call('SET', KEYS[2], ARGV[i + 3]) end
    end
    redis.call('PEXPIRE', key, ${HELD_MS})
    take(prefix, user, id, me)
    if user ~= '' and redis.call('HLEN', ofUser(prefix, user)) <= ${LOOK_MAX} then
      prune(ofUser(prefix, user), prefix, me)
    end
  end
end
return lost
`;

/** KEYS: this node's sign of life, those that wait. ARGV: now, its ttl. Answers how many wait. Needs no memory first, as KEEP. */
const BEAT = `
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[1])
redis.call('SET', KEYS[1], '1', 'PX', ARGV[2])
return redis.call('ZCARD', KEYS[2])
`;

export const REGISTRATIONS = scripts({ ADD, CLAIM, HOLD, RELEASE, REMOVE, KEEP, BEAT });
