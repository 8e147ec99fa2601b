// Records in Redis: small values in named sets, with an expiry.
//
// A set is a hash of "v" and the name with the number of the first put and the value, and under "" the last such number; and a sorted
// set of the names by the moment when they expire. Both keys expire with the last value. A value that is not in both does
// not count.
import type { NamedValue, RecordBounds, Records } from "../../../relay/contracts/store";
import type { ServerClock } from "../server/clock";
import type { Keys } from "../server/keys";
import type { RedisLink } from "../server/link";
import { type Script, scripts } from "../server/script";

/** How many values that have expired a put removes; where the set is full, all. */
const REMOVED_MAX = 16;

/** How much longer than its last value a set is kept, since clocks differ. */
const CLOCK_SLACK_MS = 60_000;

/** KEYS: values, expiries. The first two arguments: now, name. */
const COMMON = `
local values, expiries, now, name = KEYS[1], KEYS[2], tonumber(ARGV[1]), ARGV[2]
local function whole(number) return string.format('%.0f', number) end
local function isKept(one)
  local ends = redis.call('ZSCORE', expiries, one)
  return ends and tonumber(ends) > now
end
local function forget(one)
  redis.call('HDEL', values, 'v' .. one)
  redis.call('ZREM', expiries, one)
end
local function forgetExpired(most)
  local expired = redis.call('ZRANGE', expiries, '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, most)
  for _, one in ipairs(expired) do forget(one) end
end
`;

/** Further arguments: value, ttl, the most values. Answers 1, or 0 when the set is full. */
const PUT = `${COMMON}
forgetExpired(${REMOVED_MAX})
local known = isKept(name) and redis.call('HMGET', values, 'v' .. name)[1]
local number = known and string.match(known, '^%d+')
if not number then
  local most = tonumber(ARGV[5])
  if redis.call('ZCARD', expiries) >= most then forgetExpired(-1) end
  if redis.call('ZCARD', expiries) >= most then return 0 end
  number = whole(tonumber(redis.call('HMGET', values, '')[1] or 0) + 1)
  redis.call('HSET', values, '', number)
end
redis.call('HSET', values, 'v' .. name, number .. ' ' .. ARGV[3])
redis.call('ZADD', expiries, whole(now + tonumber(ARGV[4]) * 1000), name)
local last = redis.call('ZRANGE', expiries, -1, -1, 'WITHSCORES')[2]
local ttl = whole(math.ceil((tonumber(last) - now) / 1000) + ${CLOCK_SLACK_MS})
redis.call('PEXPIRE', values, ttl)
redis.call('PEXPIRE', expiries, ttl)
return 1
`;

/** Answers the number of the first put and the value, or nothing. */
const GET = `${COMMON}
return isKept(name) and redis.call('HMGET', values, 'v' .. name)[1]
`;

/** Answers a name, then the number of its first put and its value, … */
const LIST = `${COMMON}
local all, kept, answer = redis.call('HGETALL', values), {}, {}
local ends = redis.call('ZRANGE', expiries, 0, -1, 'WITHSCORES')
for i = 1, #ends, 2 do kept[ends[i]] = tonumber(ends[i + 1]) > now end
for i = 1, #all, 2 do
  local one = string.sub(all[i], 2)
  if all[i] ~= '' and kept[one] then
    answer[#answer + 1] = one
    answer[#answer + 1] = all[i + 1]
  end
end
return answer
`;

/** Answers 1 when it was there, else 0. */
const REMOVE = `${COMMON}
local was = isKept(name) and 1 or 0
forget(name)
return was
`;

export const RECORD_SCRIPTS = scripts({ PUT, GET, LIST, REMOVE });

interface RedisRecordsOptions {
  readonly keys: Keys;
  readonly link: RedisLink;
  readonly clock: ServerClock;
}

export class RedisRecords implements Records {
  readonly #options: RedisRecordsOptions;

  constructor(options: RedisRecordsOptions) {
    this.#options = options;
  }

  async put(
    set: string,
    name: string,
    value: string,
    { ttlMs, max }: RecordBounds,
  ): Promise<undefined | "full"> {
    const args = [name, value, String(ttlMs), String(max)];
    return (await this.#run<number>(RECORD_SCRIPTS.PUT, set, args)) === 1 ? undefined : "full";
  }

  async get(set: string, name: string): Promise<string | undefined> {
    const kept = await this.#run<string | null>(RECORD_SCRIPTS.GET, set, [name]);
    return kept === null ? undefined : parse(kept).value;
  }

  async list(set: string): Promise<readonly NamedValue[]> {
    const all = await this.#run<string[]>(RECORD_SCRIPTS.LIST, set, []);
    const found = Array.from({ length: all.length / 2 }, (_, i) => {
      return { name: all[2 * i] as string, ...parse(all[2 * i + 1] as string) };
    });
    found.sort((a, b) => a.number - b.number);
    return found.map(({ name, value }) => ({ name, value }));
  }

  async remove(set: string, name: string): Promise<boolean> {
    return (await this.#run<number>(RECORD_SCRIPTS.REMOVE, set, [name])) === 1;
  }

  #run<Answer>(script: Script, set: string, args: readonly string[]): Promise<Answer> {
    const { keys, link, clock } = this.#options;
    const names = [keys.values(set), keys.expiries(set)];
    return link.run<Answer>(script, names, [String(clock.micros), ...args]);
  }
}

/** What is kept: the number of the first put, a blank, the value. */
function parse(kept: string): { number: number; value: string } {
  const end = kept.indexOf(" ");
  return { number: Number(kept.slice(0, end)), value: kept.slice(end + 1) };
}
