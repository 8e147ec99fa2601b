// The scripts for registrations: those that wait for their clients, and those that a node owns.
//
// A registration is a hash: user, topics (JSON), node ("" while it waits), term, until (while it waits), kind ("r", or "s" for a
// session that was not registered), gone (removed, but kept for a node that has not been told; it has no kind and no term then). A
// user's connections are a hash of id and node. A machine's are a hash of node and number, and each node sets only its own number.
// Dead nodes do not count.
import type { AfterRelease } from "../../../relay/contracts/engine";
import type { ServerClock } from "./clock";
import type { Keys } from "./keys";
import type { RedisLink } from "./link";
import { NOT_SET, type Script, scripts, TRUE, textOf } from "./script";

/** How long a removed registration, or one that a node owns, is kept unless a node renews it. */
const OWNED_MS = 600_000;

/** How much longer than its time a waiting registration is kept, since clocks differ. */
const CLOCK_SLACK_MS = 60_000;

/** The most connections of a user among which a renewal looks for those of dead nodes. */
const PRUNE_MAX = 128;

/** The first five arguments of all but RENEW and HEARTBEAT: now, this node, prefix, machine (NOT_SET), its number of connections. */
const COMMON = `
local function alive(prefix, node) return redis.call('EXISTS', prefix .. 'node:' .. node) == 1 end
local function waiting(key, now)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  return redis.call('ZCARD', key)
end
local function ofUser(prefix, user) return prefix .. 'user:' .. user end
local function removeWhere(key, isGone)
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    if isGone(all[i], all[i + 1]) then redis.call('HDEL', key, all[i]) end
  end
end
-- Removes the connections of dead nodes.
local function prune(key, prefix, me)
  local known = {[me] = true}
  removeWhere(key, function(_, node)
    if known[node] == nil then known[node] = alive(prefix, node) end
    return not known[node]
  end)
end
-- Removes those that ended when Redis had their registration no longer, as after an eviction. Those that go on are counted again.
local function pruneUnknown(key, prefix)
  removeWhere(key, function(id) return redis.call('EXISTS', prefix .. 'registration:' .. id) == 0 end)
end
local function hasRoom(prefix, user, most, me)
  if user == '' then return true end
  local key = ofUser(prefix, user)
  if redis.call('HLEN', key) < tonumber(most) then return true end
  prune(key, prefix, me)
  pruneUnknown(key, prefix)
  return redis.call('HLEN', key) < tonumber(most)
end
local function countFor(prefix, user, id, me)
  if user == '' then return end
  redis.call('HSET', ofUser(prefix, user), id, me)
  redis.call('PEXPIRE', ofUser(prefix, user), ${OWNED_MS})
end
-- Sets this node's number of connections, and answers that of all nodes of the machine.
local function onMachine(prefix, machine, me, number)
  if machine == '' then return 0 end
  local key = prefix .. 'machine:' .. machine
  if number == '0' then redis.call('HDEL', key, me) else redis.call('HSET', key, me, number) end
  redis.call('PEXPIRE', key, ${OWNED_MS})
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
  redis.call('PEXPIRE', key, ttl + ${CLOCK_SLACK_MS})
  redis.call('ZADD', list, ends, id)
  redis.call('PEXPIRE', list, ttl + ${CLOCK_SLACK_MS})
end
`;

/** How the scripts about one registration begin: they take its id after the five. */
const ABOUT_ONE = `${COMMON}
local now, me, prefix, machine, number, id = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
`;

/**
 * KEYS: the registration, those that wait. ARGV: the five, id, user, topics (NOT_SET for the defaults), ttl, the most that may wait,
 * the most connections of a user. Answers {"" or "user" or "full", how many wait}.
 */
const ADD = `${ABOUT_ONE}
local waits = waiting(KEYS[2], now)
if not hasRoom(prefix, ARGV[7], ARGV[11], me) then return {'user', waits} end
if waits >= tonumber(ARGV[10]) then return {'full', waits} end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'user', ARGV[7], 'topics', ARGV[8], 'kind', 'r')
wait(KEYS[1], KEYS[2], now, id, ARGV[9])
return {'', waits + 1}
`;

/**
 * KEYS: the registration, those that wait, last term. ARGV: the five, id, the most connections of a user, the most of the machine.
 * Answers {"unknown" or "user" or "machine", how many wait} or {"", how many wait, user, topics, term, TRUE when another node
 * owned it}.
 */
const CLAIM = `${ABOUT_ONE}
local waits = waiting(KEYS[2], now)
local known = redis.call('HMGET', KEYS[1], 'user', 'topics', 'node', 'until', 'kind')
local user, topics, node = known[1], known[2], known[3]
if known[5] ~= 'r' then return {'unknown', waits} end
if node == '' then
  if tonumber(known[4]) <= now then return {'unknown', waits} end
  if not hasRoom(prefix, user, ARGV[7], me) then return {'user', waits} end
  if onMachine(prefix, machine, me, number) > tonumber(ARGV[8]) then return {'machine', waits} end
  waits = waits - redis.call('ZREM', KEYS[2], id)
end
countFor(prefix, user, id, me)
local term = redis.call('INCRBY', KEYS[3], 1)
redis.call('HSET', KEYS[1], 'node', me, 'term', term)
redis.call('PEXPIRE', KEYS[1], ${OWNED_MS})
return {'', waits, user, topics, term, (node ~= '' and node ~= me) and '${TRUE}' or ''}
`;

/** As CLAIM, for a connection that was not registered. ARGV: the five, id, user, then as CLAIM. */
const OWN = `${ABOUT_ONE}
local user = ARGV[7]
if not hasRoom(prefix, user, ARGV[8], me) then return {'user'} end
if onMachine(prefix, machine, me, number) > tonumber(ARGV[9]) then return {'machine'} end
countFor(prefix, user, id, me)
redis.call('HSET', KEYS[1], 'user', user, 'topics', '', 'node', me, 'term', 0, 'kind', 's')
redis.call('PEXPIRE', KEYS[1], ${OWNED_MS})
return {''}
`;

/**
 * KEYS: the registration, those that wait. ARGV: the five, id, term (NOT_SET for whichever it is), TRUE when it waits for its client
 * again, ttl, the most that may wait. Answers how many wait.
 */
const RELEASE = `${ABOUT_ONE}
onMachine(prefix, machine, me, number)
local waits = waiting(KEYS[2], now)
local known = redis.call('HMGET', KEYS[1], 'user', 'node', 'term', 'kind')
if known[2] ~= me or (ARGV[7] ~= '${NOT_SET}' and known[3] ~= ARGV[7]) then return waits end
redis.call('HDEL', ofUser(prefix, known[1]), id)
if known[4] ~= 'r' or ARGV[8] ~= '${TRUE}' or waits >= tonumber(ARGV[10]) then
  redis.call('DEL', KEYS[1])
  return waits
end
wait(KEYS[1], KEYS[2], now, id, ARGV[9])
return waits + 1
`;

/**
 * KEYS: the registration, those that wait. ARGV: the five, id. Answers {how many wait, and where it was: "" when there was none,
 * "here" or "elsewhere"}.
 */
const REMOVE = `${ABOUT_ONE}
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
redis.call('PEXPIRE', KEYS[1], ${OWNED_MS})
return {waits, 'elsewhere'}
`;

/**
 * This node still owns these registrations, or owns them again after the server has lost its data. KEYS: those that wait, last term.
 * ARGV: this node, prefix, machine, its number of connections, then for each registration: id, user, topics, term, kind. Answers
 * those that it has lost: id, then "" when it was removed, or else the term of the newer claim, …
 * Its first write needs no memory, so that a server that is full still knows what is owned.
 */
const RENEW = `${COMMON}
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
    redis.call('PEXPIRE', key, ${OWNED_MS})
    countFor(prefix, user, id, me)
    if user ~= '' and redis.call('HLEN', ofUser(prefix, user)) <= ${PRUNE_MAX} then
      prune(ofUser(prefix, user), prefix, me)
    end
  end
end
return lost
`;

/**
 * KEYS: this node's heartbeat, those that wait. ARGV: now, the heartbeat's ttl. Answers how many wait. Its first write needs no memory,
 * as in RENEW.
 */
const HEARTBEAT = `
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[1])
redis.call('SET', KEYS[1], '1', 'PX', ARGV[2])
return redis.call('ZCARD', KEYS[2])
`;

export const REGISTRATION_SCRIPTS = scripts({ ADD, CLAIM, OWN, RELEASE, REMOVE, RENEW, HEARTBEAT });

interface CallsOptions {
  readonly link: RedisLink;
  readonly keys: Keys;
  readonly clock: ServerClock;
  readonly node: string;
  readonly machine: string | undefined;
  /** How many connections this node has, with those that it may get. */
  readonly connections: () => number;
}

/** A registration as RENEW takes it. */
export interface OwnedRegistration {
  readonly id: string;
  readonly user: string;
  readonly topics?: readonly string[] | undefined;
  /** 0 when it was not registered. */
  readonly term: number;
  readonly isRegistered: boolean;
}

/** Runs these scripts with their keys and arguments in the order that they expect. All reject with EngineUnavailable. */
export class RegistrationCalls {
  readonly #options: CallsOptions;

  constructor(options: CallsOptions) {
    this.#options = options;
  }

  add(
    id: string,
    registration: {
      user: string;
      topics: readonly string[] | undefined;
      ttlMs: number;
      waitingMax: number;
      userConnectionsMax: number;
    },
  ): Promise<["" | "user" | "full", number]> {
    const { user, topics, ttlMs, waitingMax, userConnectionsMax } = registration;
    return this.#run(REGISTRATION_SCRIPTS.ADD, id, [
      user,
      jsonOf(topics),
      String(ttlMs),
      String(waitingMax),
      String(userConnectionsMax),
    ]);
  }

  claim(
    id: string,
    { userConnectionsMax, connectionsMax }: ConnectionLimits,
  ): Promise<["" | "unknown" | "user" | "machine", number, string, string, number, string]> {
    return this.#run(REGISTRATION_SCRIPTS.CLAIM, id, [
      String(userConnectionsMax),
      String(connectionsMax),
    ]);
  }

  own(
    id: string,
    user: string,
    { userConnectionsMax, connectionsMax }: ConnectionLimits,
  ): Promise<["" | "user" | "machine"]> {
    return this.#run(REGISTRATION_SCRIPTS.OWN, id, [
      user,
      String(userConnectionsMax),
      String(connectionsMax),
    ]);
  }

  /** Answers how many registrations wait. `term` is undefined when the answer to the claim was lost. */
  release(
    id: string,
    release: {
      term: number | undefined;
      next: AfterRelease;
      ttlMs: number;
      waitingMax: number;
    },
  ): Promise<number> {
    const { term, next, ttlMs, waitingMax } = release;
    return this.#run(REGISTRATION_SCRIPTS.RELEASE, id, [
      textOf(term),
      textOf(next === "wait"),
      String(ttlMs),
      String(waitingMax),
    ]);
  }

  remove(id: string): Promise<[number, "" | "here" | "elsewhere"]> {
    return this.#run(REGISTRATION_SCRIPTS.REMOVE, id, []);
  }

  /** Answers those that this node has lost, with the term of the newer claim or undefined when they were removed. */
  async renew(
    owned: readonly OwnedRegistration[],
  ): Promise<{ id: string; term: number | undefined }[]> {
    const { link, keys, node, machine, connections } = this.#options;
    const args = owned.flatMap(({ id, user, topics, term, isRegistered }) => [
      id,
      user,
      jsonOf(topics),
      String(term),
      isRegistered ? "r" : "s",
    ]);
    const lost = await link.run<string[]>(
      REGISTRATION_SCRIPTS.RENEW,
      [keys.waiting, keys.lastTerm],
      [node, keys.prefix, textOf(machine), String(connections()), ...args],
    );
    return Array.from({ length: lost.length / 2 }, (_, i) => {
      const term = lost[2 * i + 1] as string;
      return { id: lost[2 * i] as string, term: term === NOT_SET ? undefined : Number(term) };
    });
  }

  /** Answers how many registrations wait. */
  heartbeat(ttlMs: number): Promise<number> {
    const { link, keys, node, clock } = this.#options;
    return link.run<number>(
      REGISTRATION_SCRIPTS.HEARTBEAT,
      [keys.heartbeat(node), keys.waiting],
      [String(clock.micros), String(ttlMs)],
    );
  }

  #run<Answer>(script: Script, id: string, args: readonly string[]): Promise<Answer> {
    const { link, keys, node, machine, clock, connections } = this.#options;
    return link.run<Answer>(
      script,
      [keys.registration(id), keys.waiting, keys.lastTerm],
      [
        String(clock.micros),
        node,
        keys.prefix,
        textOf(machine),
        String(connections()),
        id,
        ...args,
      ],
    );
  }
}

interface ConnectionLimits {
  readonly userConnectionsMax: number;
  readonly connectionsMax: number;
}

function jsonOf(topics: readonly string[] | undefined): string {
  return topics === undefined ? NOT_SET : JSON.stringify(topics);
}
