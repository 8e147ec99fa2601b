// The scripts about a Redis server as a whole: whether it has lost data, and whether it takes writes.
import type { Keys } from "./keys";
import type { RedisLink } from "./link";
import { NOT_SET, scripts, TRUE, textOf } from "./script";

/**
 * A node has connected. A server that was restarted, or took over from another, may have lost the end of its data. It has, when a
 * node knows of more publications than the server does, or did when a node first met it. Then a new generation of the data begins,
 * and all histories with it, once in a run. Terms of claims also stay greater than those of earlier runs.
 * KEYS: run, count, generation, shared epoch, last term. ARGV: the server's run id, how many publications the node knows of
 * (NOT_SET when it has just started), TRUE when it learned that in this run, a new generation, a term greater than any before.
 * Answers {1 when a new generation has begun, count}.
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
local has = ARGV[3] == '${TRUE}' and count or tonumber(run[2])
if ARGV[2] == '${NOT_SET}' or tonumber(ARGV[2]) <= has or run[3] then return {0, count} end
redis.call('HSET', KEYS[1], 'lost', '1')
redis.call('SET', KEYS[3], ARGV[4])
redis.call('DEL', KEYS[4])
return {1, count}
`;

interface JoinOptions {
  readonly runId: string;
  /** How many publications the node knows of; undefined when it has just started. */
  readonly knownCount: number | undefined;
  readonly isSameRun: boolean;
  readonly newGeneration: string;
  readonly greaterTerm: number;
}

/** Fails where the server takes no writes, and changes nothing. KEYS: count. */
const TRY_WRITE = "return redis.call('INCRBY', KEYS[1], 0)";

/**
 * Whether every node is new enough to be subscribed to a channel. KEYS: count. ARGV: the channel, and one to which every node is
 * subscribed. Answers 1 or 0. What it publishes has no sender, and nodes ignore it.
 */
const ALL_SUBSCRIBED = `
local all = redis.call('PUBLISH', ARGV[2], '\\n{"kind":""}')
return redis.call('PUBLISH', ARGV[1], '\\n{"kind":""}') >= all and 1 or 0
`;

export const SERVER_SCRIPTS = scripts({ JOIN, TRY_WRITE, ALL_SUBSCRIBED });

/** Runs these scripts with their keys and arguments in the order that they expect. All reject with EngineUnavailable. */
export class ServerCalls {
  readonly #link: RedisLink;
  readonly #keys: Keys;

  constructor(link: RedisLink, keys: Keys) {
    this.#link = link;
    this.#keys = keys;
  }

  async join(options: JoinOptions): Promise<{ hasLostData: boolean; count: number }> {
    const names = this.#keys;
    const [lost, count] = await this.#link.run<[0 | 1, number]>(
      SERVER_SCRIPTS.JOIN,
      [names.run, names.count, names.dataGeneration, names.sharedEpoch, names.lastTerm],
      [
        options.runId,
        textOf(options.knownCount),
        textOf(options.isSameRun),
        options.newGeneration,
        String(options.greaterTerm),
      ],
    );
    return { hasLostData: lost === 1, count };
  }

  /** Whether every node that is subscribed to `common` is subscribed to `channel` too. */
  async allSubscribed(channel: string, common: string): Promise<boolean> {
    const { count } = this.#keys;
    const args = [channel, common];
    return (await this.#link.run<number>(SERVER_SCRIPTS.ALL_SUBSCRIBED, [count], args)) === 1;
  }

  /** Rejects where the server takes no writes. */
  async tryWrite(): Promise<void> {
    await this.#link.run<number>(SERVER_SCRIPTS.TRY_WRITE, [this.#keys.count], []);
  }
}
