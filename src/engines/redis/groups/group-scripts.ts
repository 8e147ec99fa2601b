// The scripts for groups: which of their members which nodes have.
//
// A group is a hash: for each member its places, separated by blanks, and its info after a line feed; under "" the group's version,
// which begins with the time, so that it is greater than in any life of the group before. A place is a node for as long as it is
// connected. It has a key that expires unless the node renews it, and a list of its members, from which they are removed by any other
// node when that key is gone.
//
// A script that is cut in half must leave no member that no list of a place names, so the list is written first.
import { LISTED } from "../../../relay/contracts/engine";
import type { ServerClock } from "../server/clock";
import type { Keys } from "../server/keys";
import type { RedisLink } from "../server/link";
import { NOT_SET, type Script, scripts, textOf } from "../server/script";

/** A node that has not renewed its place for so long is dead. */
const PLACE_TTL_MS = 10_000;

/** How many members of a place one call removes. */
const REMOVED_MAX = 250;

/** What stands before a change on the channel of all nodes, where a message has its sender. No node has this name. */
export const SENDER = "groups";

/** KEYS: the places. ARGV: prefix, place, now, channel of all nodes. */
const COMMON = `
local prefix, me, now, channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local places = KEYS[1]
local function whole(number) return string.format('%.0f', number) end
local function keyOf(group) return prefix .. 'group:' .. group end
local function listOf(place) return prefix .. 'members:' .. place end
local function signOf(place) return prefix .. 'place:' .. place end
local function idOf(group, name) return #group .. ':' .. group .. name end
local function namesOf(id)
  local colon = string.find(id, ':', 1, true)
  local last = colon + tonumber(string.sub(id, 1, colon - 1))
  return string.sub(id, colon + 1, last), string.sub(id, last + 1)
end
local function parse(value)
  local feed = string.find(value, '\\n', 1, true)
  return string.sub(value, 1, feed - 1), string.sub(value, feed + 1)
end
local function changed(group, name, info)
  local key = keyOf(group)
  local version = redis.call('HMGET', key, '')[1]
  version = version and whole(tonumber(version) + 1) or now
  redis.call('HSET', key, '', version)
  if string.sub(group, 1, ${LISTED.length}) == '${LISTED}' then
    redis.call('PUBLISH', channel, '${SENDER}\\n' .. cjson.encode({group, version, name, info}))
  end
  return version
end
local function enter(group, name, info, most)
  local key, id = keyOf(group), idOf(group, name)
  local known = redis.call('HMGET', key, name, '')
  if known[1] then
    local all, kept = parse(known[1])
    if not string.find(' ' .. all .. ' ', ' ' .. me .. ' ', 1, true) then
      redis.call('ZADD', listOf(me), 0, id)
      redis.call('HSET', key, name, all .. ' ' .. me .. '\\n' .. kept)
    end
    return 'in', known[2]
  end
  if most > 0 and redis.call('HLEN', key) > most then return 'full', '0' end
  redis.call('ZADD', listOf(me), 0, id)
  redis.call('HSET', key, name, me .. '\\n' .. info)
  return 'in', changed(group, name, info)
end
local function leave(place, group, name)
  local key, id = keyOf(group), idOf(group, name)
  local value = redis.call('HMGET', key, name)[1]
  if value then
    local all, info = parse(value)
    local rest, was = {}, false
    for other in string.gmatch(all, '%S+') do
      if other == place then was = true else rest[#rest + 1] = other end
    end
    if was and #rest > 0 then
      redis.call('HSET', key, name, table.concat(rest, ' ') .. '\\n' .. info)
    elseif was then
      redis.call('HDEL', key, name)
      changed(group, name, false)
      if redis.call('HLEN', key) == 1 then redis.call('DEL', key) end
    end
  end
  redis.call('ZREM', listOf(place), id)
end
`;

/** A first write that needs no memory, so that a server that is full still knows who has left. */
const BEGIN_TO_WRITE = "redis.call('HDEL', places, '')";

/**
 * What this node's members do, in order. ARGV after the four: for each group, member, whether it enters or leaves, info, the most
 * members (0: any number). Answers for each {"in", "full" or "", version}.
 */
const CHANGE = `${COMMON}
${BEGIN_TO_WRITE}
redis.call('HSET', places, me, '1')
redis.call('SET', signOf(me), '1', 'PX', ${PLACE_TTL_MS})
local answers = {}
for i = 5, #ARGV, 5 do
  local outcome, version = '', ''
  if ARGV[i + 2] == 'enter' then
    outcome, version = enter(ARGV[i], ARGV[i + 1], ARGV[i + 3], tonumber(ARGV[i + 4]))
  else leave(me, ARGV[i], ARGV[i + 1]) end
  answers[#answers + 1] = outcome
  answers[#answers + 1] = version
end
return answers
`;

/** Removes some members of a place, and with the last of them the place. ARGV after the four: the place. Answers how many are left. */
const CLEAR = `${COMMON}
${BEGIN_TO_WRITE}
local place = ARGV[5]
local some = redis.call('ZRANGE', listOf(place), 0, ${REMOVED_MAX - 1})
for i = 1, #some do leave(place, namesOf(some[i])) end
local left = redis.call('ZCARD', listOf(place))
if left == 0 then redis.call('HDEL', places, place) end
return left
`;

/** This node is alive. Answers whether its place is known (1 or 0), then the places that have expired. */
const RENEW = `${COMMON}
${BEGIN_TO_WRITE}
redis.call('SET', signOf(me), '1', 'PX', ${PLACE_TTL_MS})
local answer = {0}
local all = redis.call('HGETALL', places)
for i = 1, #all, 2 do
  if all[i] == me then answer[1] = 1
  elseif redis.call('EXISTS', signOf(all[i])) == 0 then answer[#answer + 1] = all[i] end
end
return answer
`;

/** ARGV after the four: the group. Answers version, then each member with its info. */
const STATE = `${COMMON}
local all, answer = redis.call('HGETALL', keyOf(ARGV[5])), {now}
for i = 1, #all, 2 do
  if all[i] == '' then answer[1] = all[i + 1]
  else
    local _, info = parse(all[i + 1])
    answer[#answer + 1] = all[i]
    answer[#answer + 1] = info
  end
end
return answer
`;

/** ARGV after the four: the group. Answers how many members it has. */
const SIZE = `${COMMON}
return math.max(0, redis.call('HLEN', keyOf(ARGV[5])) - 1)
`;

export const GROUP_SCRIPTS = scripts({ CHANGE, CLEAR, RENEW, STATE, SIZE });

interface CallsOptions {
  readonly link: RedisLink;
  readonly keys: Keys;
  readonly clock: ServerClock;
}

/** What a member of this node does. */
export interface GroupStep {
  readonly group: string;
  readonly name: string;
  readonly does: "enter" | "leave";
  readonly info: string | undefined;
  /** 0: any number. */
  readonly membersMax: number;
}

export interface StepOutcome {
  readonly outcome: "in" | "full" | "";
  readonly version: number;
}

/** Runs these scripts with their keys and arguments in the order that they expect. All reject with EngineUnavailable. */
export class GroupCalls {
  readonly #options: CallsOptions;

  constructor(options: CallsOptions) {
    this.#options = options;
  }

  async change(place: string, steps: readonly GroupStep[]): Promise<readonly StepOutcome[]> {
    const args = steps.flatMap(({ group, name, does, info, membersMax }) => [
      group,
      name,
      does,
      textOf(info),
      String(membersMax),
    ]);
    const answers = await this.#run<string[]>(GROUP_SCRIPTS.CHANGE, place, args);
    return steps.map((_, i) => ({
      outcome: answers[2 * i] as StepOutcome["outcome"],
      version: Number(answers[2 * i + 1]),
    }));
  }

  /** Removes some of what a place has; answers how many members are left there. */
  clear(place: string): Promise<number> {
    return this.#run<number>(GROUP_SCRIPTS.CLEAR, place, [place]);
  }

  async renew(place: string): Promise<{
    readonly isKnown: boolean;
    readonly expired: readonly string[];
  }> {
    const [known, ...expired] = await this.#run<[number, ...string[]]>(
      GROUP_SCRIPTS.RENEW,
      place,
      [],
    );
    return { isKnown: known === 1, expired };
  }

  async state(group: string): Promise<{ version: number; members: [string, string][] }> {
    const [version, ...rest] = await this.#run<string[]>(GROUP_SCRIPTS.STATE, NOT_SET, [group]);
    const members = Array.from({ length: rest.length / 2 }, (_, i): [string, string] => {
      return [rest[2 * i] as string, rest[2 * i + 1] as string];
    });
    return { version: Number(version), members };
  }

  size(group: string): Promise<number> {
    return this.#run<number>(GROUP_SCRIPTS.SIZE, NOT_SET, [group]);
  }

  #run<Answer>(script: Script, place: string, args: readonly string[]): Promise<Answer> {
    const { link, keys, clock } = this.#options;
    return link.run<Answer>(
      script,
      [keys.places],
      [keys.prefix, place, String(clock.micros), keys.allNodes, ...args],
    );
  }
}
