// Queues in Redis. A queue is a sorted set: each entry begins with its number, which is also its score. Numbers go on from the time in
// microseconds, which no queue counts up to: so none comes again after a server has lost the end of its data, as in a failover. Where
// the clock was set back they go on from the last number, which has a key of its own, as the queue may have been empty since.
import type { QueueEntry, Queues } from "../../../relay/contracts/store";
import type { ServerClock } from "../server/clock";
import type { Keys } from "../server/keys";
import type { RedisLink } from "../server/link";
import { scripts } from "../server/script";

/** How long the last number is kept after it was given. */
const NUMBER_MS = 86_400_000;

/** KEYS: queue, last number. ARGV: now, the most entries, then the entries. Answers how many were kept. */
const APPEND = `
local function whole(number) return string.format('%.0f', number) end
local kept = math.min(#ARGV - 2, tonumber(ARGV[2]) - redis.call('ZCARD', KEYS[1]))
if kept <= 0 then return 0 end
local newest = redis.call('GET', KEYS[2]) or redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
local last = math.max(tonumber(ARGV[1]), tonumber(newest or 0))
redis.call('SET', KEYS[2], whole(last + kept), 'PX', ${NUMBER_MS})
for i = 1, kept do
  local number = whole(last + i)
  redis.call('ZADD', KEYS[1], number, number .. ' ' .. ARGV[i + 2])
end
return kept
`;

export const QUEUE_SCRIPTS = scripts({ APPEND });

interface RedisQueuesOptions {
  readonly keys: Keys;
  readonly link: RedisLink;
  readonly clock: ServerClock;
}

export class RedisQueues implements Queues {
  readonly #options: RedisQueuesOptions;

  constructor(options: RedisQueuesOptions) {
    this.#options = options;
  }

  append(queue: string, entries: readonly string[], max: number): Promise<number> {
    const { keys, link, clock } = this.#options;
    const names = [keys.queue(queue), keys.lastNumber(queue)];
    // One script for all, so that entries of two calls never stand among each other.
    const args = [String(clock.micros), String(max), ...entries];
    return link.run<number>(QUEUE_SCRIPTS.APPEND, names, args);
  }

  async first(queue: string, limit: number): Promise<readonly QueueEntry[]> {
    if (limit <= 0) return [];
    const { keys, link } = this.#options;
    const args = [keys.queue(queue), "0", String(limit - 1)];
    const entries = await link.call<string[]>("ZRANGE", args);
    return entries.map((text) => {
      const end = text.indexOf(" ");
      return { number: Number(text.slice(0, end)), entry: text.slice(end + 1) };
    });
  }

  async removeUpTo(queue: string, number: number): Promise<undefined> {
    const { keys, link } = this.#options;
    await link.call("ZREMRANGEBYSCORE", [keys.queue(queue), "-inf", String(number)]);
  }

  size(queue: string): Promise<number> {
    const { keys, link } = this.#options;
    return link.call<number>("ZCARD", [keys.queue(queue)]);
  }
}
