// What a reader does in Redis, as Lua scripts: each looks first whether this reader is still the one that reads, so that of two readers the
// older one gets nothing more. A reader is a consumer of the group, and a newer one deletes all others.

/** How many entries a script reads at once, each of which costs Redis its size in memory twice. */
const STEP_MAX = 16;

/** The beginning of an error of a script that a reader calls which is not the newest any more. */
const SUPERSEDED = "SUPERSEDED";

const CHECK = `
local function is_mine()
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    if consumer[2] == ARGV[2] then return true end
  end
  return false
end
if not is_mine() then return redis.error_reply('${SUPERSEDED} another reader has taken over') end`;

/**
 * Makes this consumer the only one of the group, and gives it all that others have read and not acknowledged. Answers with what of
 * that is not in the stream any more. ARGV: group, consumer.
 */
export const TAKE_OVER = `
redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], ARGV[1], ARGV[2])
local cursor, lost = '0-0', {}
repeat
  local claimed = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, cursor, 'COUNT', 1000, 'JUSTID')
  cursor = claimed[1]
  for _, id in ipairs(claimed[3] or {}) do table.insert(lost, id) end
until cursor == '0-0'
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  if consumer[2] ~= ARGV[2] then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer[2]) end
end
return lost`;

/**
 * Reads a few entries at a time, until there are enough or they are large enough: one of 10 MB is fetched beside few others. ARGV: group,
 * consumer, after which id (> for new ones), how many at most, how many bytes, of how many bytes an entry is not handed out. Answers with
 * [id, fields], [id] of an entry that is gone, and [id, bytes] of one that is too large.
 */
export const READ = `${CHECK}
local from, found, bytes, step = ARGV[3], {}, 0, 1
local count, size_max = tonumber(ARGV[4]), tonumber(ARGV[5])
while #found < count and bytes < size_max do
  step = math.min(step, count - #found)
  local answer = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', step, 'STREAMS', KEYS[1], from)
  local entries = answer and answer[1][2] or {}
  for _, entry in ipairs(entries) do
    local id, fields, size = entry[1], entry[2], 0
    if fields then
      for _, text in ipairs(fields) do size = size + #text end
      bytes = bytes + size
      if size > tonumber(ARGV[6]) then fields = size end
      table.insert(found, {id, fields})
    else
      table.insert(found, {id})
    end
    if from ~= '>' then from = id end
  end
  if #entries < step then break end
  -- As many as would fit if they were as large as those so far, and at most ${STEP_MAX}: these may be larger.
  step = math.max(1, math.min(${STEP_MAX}, math.floor((size_max - bytes) * #found / (bytes + 1))))
end
return found`;

/**
 * How many entries were removed that the group has not read, such as by MAXLEN: what Redis has counted as added and removed, against
 * what it has counted as read. It can be said where nothing is left of what was read, or nothing is to be read. Those that are told count
 * as read from then on, which also mends the lag that Redis gives. Redis 6.2 counts nothing. ARGV: group, consumer.
 */
export const LOST = `${CHECK}
local function fields(list)
  local found = {}
  for i = 1, #list, 2 do found[list[i]] = list[i + 1] end
  return found
end
local stream, group = fields(redis.call('XINFO', 'STREAM', KEYS[1])), {}
for _, one in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local found = fields(one)
  if found['name'] == ARGV[1] then group = found end
end
local added, read, last = stream['entries-added'], group['entries-read'], group['last-delivered-id']
if not added or not read then return 0 end
local passed = nil
if last == stream['last-generated-id'] then passed = added
elseif #redis.call('XRANGE', KEYS[1], '-', last, 'COUNT', 1) == 0 then passed = added - stream['length'] end
if not passed or passed <= read then return 0 end
redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], last, 'ENTRIESREAD', passed)
return passed - read`;

/** The SHA-1 of an entry's fields and values, one after the other with a zero byte after each. ARGV: the id. */
export const DIGEST = `
local entry = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not entry then return '' end
local text = ''
for _, one in ipairs(entry[2]) do text = text .. one .. string.char(0) end
return redis.sha1hex(text)`;

/**
 * Copies entries to the stream of dead letters, then acknowledges all, and deletes them where it is told to. KEYS: stream, dead letters.
 * ARGV: group, consumer, "delete" or "keep", how many dead letters are kept, source, how many are dead, of each its id, code and message,
 * then the ids of all.
 */
export const ACKNOWLEDGE = `${CHECK}
local at = 7
for _ = 1, tonumber(ARGV[6]) do
  local id = ARGV[at]
  local args = {'XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'baton_source', ARGV[5], 'baton_id', id, 'baton_code', ARGV[at + 1], 'baton_message', ARGV[at + 2]}
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  for _, one in ipairs(entry and entry[2] or {}) do table.insert(args, one) end
  redis.call(unpack(args))
  at = at + 3
end
local ids = {}
for i = at, #ARGV do table.insert(ids, ARGV[i]) end
if #ids > 0 then
  redis.call('XACK', KEYS[1], ARGV[1], unpack(ids))
  if ARGV[3] == 'delete' then redis.call('XDEL', KEYS[1], unpack(ids)) end
end
return #ids`;
