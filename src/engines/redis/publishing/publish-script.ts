// The script that publishes: it takes the publications of a batch, to any topics, and is the only one that numbers and keeps any.
// What the batch has for one topic is one entry of its stream and one message on its channel, with the publications' bodies as lines.
import type { Keys } from "../server/keys";
import type { RedisLink } from "../server/link";
import { NOT_SET, scripts, textOf } from "../server/script";
import { COMMON } from "../server/topic-scripts";

/** How many publications a batch has at most: about so many more than its size a history may keep. */
export const PUBLICATIONS_MAX = 128;

/** How much one call carries at most: Redis does nothing else while it handles one. */
export const BATCH_CHARACTERS_MAX = 262_144;

/** A history size of 0: the topic keeps no history. */
const NO_HISTORY = "0";

/** How many idempotency keys are forgotten at most for each new one, when there are too many or their time is over. */
const FORGET_MAX = 4;

/** What the script is told about each topic, and about each idempotency key. */
const TOPIC_ARGUMENTS = 8;
const KEY_ARGUMENTS = 4;

/** Arguments and keys before those of the topics. */
const FIRST_ARGUMENTS = 2;
const FIRST_KEYS = 3;

/** Arguments about idempotency keys in general. */
const KEYS_ARGUMENTS = 3;

/** What the script for records is told about each that has a position, and at its end. */
const POSITION_ARGUMENTS = 3;
const LAST_ARGUMENTS = 2;

/** What the script for records has more than that for other publications. */
interface RecordsLua {
  /** Sets `lastArgument`: where the arguments end that both scripts have. */
  readonly ends: string;
  /** Which publications are not new besides those that are told by their keys. */
  readonly skip: string;
  /** A further item of the answer. */
  readonly answer: string;
  /** Before anything is written. */
  readonly check: string;
  /** After everything is published. */
  readonly keep: string;
}

const NO_RECORDS: RecordsLua = {
  ends: "local lastArgument = #ARGV",
  skip: "",
  answer: "",
  check: "",
  keep: "",
};

/**
 * KEYS ends with the partition's position. ARGV ends with, for each record that has a position, its topic's place, its publication's
 * in the topic, and its position; then up to which position all is published after this (NOT_SET for none), and how many have
 * one. The third item of the answer is how many were published. Nothing is published where a topic would fail: the position
 * would be beyond what was.
 */
const RECORDS: RecordsLua = {
  ends: `local lastArgument = #ARGV - ${LAST_ARGUMENTS} - tonumber(ARGV[#ARGV]) * ${POSITION_ARGUMENTS}`,
  skip: `
local last = redis.call('GET', KEYS[#KEYS])
local newest = last
local function advance(position)
  if newest and (#position < #newest or #position == #newest and position <= newest) then return false end
  newest = position
  return true
end
for a = lastArgument + 1, #ARGV - ${LAST_ARGUMENTS}, ${POSITION_ARGUMENTS} do
  if not advance(ARGV[a + 2]) then skip(tonumber(ARGV[a]), tonumber(ARGV[a + 1])) end
end
if ARGV[#ARGV - 1] ~= '${NOT_SET}' then advance(ARGV[#ARGV - 1]) end`,
  answer: ", total",
  check: `
for topic = 1, topics do
  local seen = redis.pcall('XRANGE', KEYS[${FIRST_KEYS} + 2 * topic], '+', '+', 'COUNT', 1)
  if seen.err then return seen end
end`,
  keep: "if newest ~= last then redis.call('SET', KEYS[#KEYS], newest) end",
};

/**
 * Numbers publications, keeps them, and publishes them to the nodes that follow their topics.
 * KEYS: generation, count, shared epoch; for each topic its numbering and its history; with idempotency keys their set.
 * ARGV: now, how many topics; for each topic its channel, the id of its first publish, how many bodies, the bodies as lines,
 * history size (NO_HISTORY), history ttl, candidate, bit; with idempotency keys their ttl, the most of them, what the names of
 * first answers begin with, and for each its topic's place, its publication's in the topic, the name, the fingerprint.
 * Answers {count, age}, for each topic the offset of its first publication and its epoch, for each key "", "again" or "conflict",
 * then an offset and an epoch: those of the first answer. Publications that are not new take no offset. The age, in ms, is that
 * of a key which was forgotten before its time, or -1. A topic that fails answers {false, error}, and the others are published.
 * The first write is one that a server without memory refuses, since Redis does not stop a script that has begun to write.
 */
const PUBLISH = `${COMMON}
--<ends>
local topics = tonumber(ARGV[2])
local general = ${FIRST_ARGUMENTS} + topics * ${TOPIC_ARGUMENTS}
local firstKey = general + ${KEYS_ARGUMENTS} + 1
local now, known, keyTtl, keysMax, answerName = tonumber(ARGV[1]), KEYS[${FIRST_KEYS + 1} + 2 * topics], unpack(ARGV, general + 1, general + 3)
local answers, notNew = {}, {}
local function skip(topic, place)
  notNew[topic] = notNew[topic] or {}
  notNew[topic][place] = true
end
for a = firstKey, lastArgument, ${KEY_ARGUMENTS} do
  local first = redis.call('HMGET', answerName .. ARGV[a + 2], 'print', 'offset', 'epoch')
  local ends = first[1] and redis.call('ZSCORE', known, ARGV[a + 2])
  if ends and tonumber(ends) > now then
    skip(tonumber(ARGV[a]), tonumber(ARGV[a + 1]))
    answers[a] = {first[1] == ARGV[a + 3] and 'again' or 'conflict', first[2], first[3]}
  end
end
--<skip>
local names, bodies, sizes, total = {KEYS[1], KEYS[2]}, {}, {}, 0
for topic = 1, topics do
  local a, skipped = ${FIRST_ARGUMENTS} + (topic - 1) * ${TOPIC_ARGUMENTS}, notNew[topic]
  names[topic + 2] = KEYS[${FIRST_KEYS} + 2 * topic - 1]
  bodies[topic], sizes[topic] = ARGV[a + 4], tonumber(ARGV[a + 3])
  if skipped then
    local new, place = {}, 0
    for body in string.gmatch(bodies[topic], '[^\\n]+') do
      place = place + 1
      if not skipped[place] then new[#new + 1] = body end
    end
    bodies[topic], sizes[topic] = table.concat(new, '\\n'), #new
  end
  total = total + sizes[topic]
end
local numberings = redis.call('MGET', unpack(names))
local generation = numberings[1]
local count = tonumber(numberings[2] or 0) + total
local result = {count, -1--<answer>}
local first = #result
--<check>
local countText = whole(count)
if total > 0 then redis.call('SET', KEYS[2], countText) end
for topic = 1, topics do
  local a, k = ${FIRST_ARGUMENTS} + (topic - 1) * ${TOPIC_ARGUMENTS}, ${FIRST_KEYS} + 2 * topic
  local offset, epoch, failure = '', '', nil
  if sizes[topic] > 0 and ARGV[a + 5] == '${NO_HISTORY}' then
    -- A rule has changed. These publications get no offsets, so the old history would lack them unnoticed.
    if parse(numberings[topic + 2], generation) then redis.call('DEL', KEYS[k - 1], KEYS[k]) end
  elseif sizes[topic] > 0 then
    local top
    epoch, top = parse(numberings[topic + 2], generation)
    if not epoch then
      epoch, top = begin(KEYS[k - 1], KEYS[k], generation, KEYS[3], tonumber(ARGV[a + 8]), ARGV[a + 7], true)
    end
    offset = whole(top + 1)
    top = top + sizes[topic]
    local oldest = whole(math.max(0, top + 1 - tonumber(ARGV[a + 5]) - ${PUBLICATIONS_MAX - 1}))
    local added = redis.pcall('XADD', KEYS[k], 'MINID', '~', oldest, offset .. '-' .. ARGV[1], 'b', bodies[topic])
    failure = type(added) == 'table' and added.err
    if failure then
      -- Anything but a key of another program concerns all topics alike.
      if not string.find(failure, 'WRONGTYPE') then return added end
    else
      redis.call('PEXPIRE', KEYS[k], ARGV[a + 6])
      setNumbering(KEYS[k - 1], generation, epoch, top, ARGV[a + 6])
    end
  end
  if failure then
    sizes[topic] = -1
    offset, epoch = false, failure
  elseif sizes[topic] > 0 then
    redis.call('PUBLISH', ARGV[a + 1],
      offset .. '\\n' .. epoch .. '\\n' .. countText .. '\\n' .. ARGV[a + 2] .. '\\n' .. bodies[topic])
  end
  result[#result + 1] = offset
  result[#result + 1] = epoch
end
--<keep>
if firstKey > lastArgument then return result end
local before, added = {}, 0
for a = firstKey, lastArgument, ${KEY_ARGUMENTS} do
  local topic, name = tonumber(ARGV[a]), ARGV[a + 2]
  local answer = answers[a]
  if answer then before[topic] = (before[topic] or 0) + 1
  elseif sizes[topic] > 0 then
    local offset, epoch = result[first - 1 + 2 * topic], result[first + 2 * topic]
    if offset ~= '' then offset = whole(tonumber(offset) + tonumber(ARGV[a + 1]) - 1 - (before[topic] or 0)) end
    answer = {'', offset, epoch}
    redis.call('HSET', answerName .. name, 'print', ARGV[a + 3], 'offset', offset, 'epoch', epoch)
    redis.call('PEXPIRE', answerName .. name, keyTtl)
    redis.call('ZADD', known, now + tonumber(keyTtl) * 1000 + added, name)
    added = added + 1
  end
  for i = 1, 3 do result[#result + 1] = answer and answer[i] or '' end
end
if added == 0 then return result end
redis.call('PEXPIRE', known, keyTtl)
local tooMany = redis.call('ZCARD', known) - tonumber(keysMax)
local oldest = redis.call('ZRANGE', known, 0, ${FORGET_MAX} * added - 1, 'WITHSCORES')
for i = 1, #oldest, 2 do
  local left = tonumber(oldest[i + 1]) - now
  if left > 0 then
    if tooMany <= 0 then break end
    result[2] = math.max(result[2], tonumber(keyTtl) - math.ceil(left / 1000))
  end
  redis.call('ZREM', known, oldest[i])
  redis.call('DEL', answerName .. oldest[i])
  tooMany = tooMany - 1
end
return result
`;

/** The script with these parts in their places. */
function withParts(parts: RecordsLua): string {
  return PUBLISH.replace(/--<(\w+)>/g, (_, name) => parts[name as keyof RecordsLua]);
}

export const PUBLISH_SCRIPTS = scripts({
  PUBLISH: withParts(NO_RECORDS),
  PUBLISH_RECORDS: withParts(RECORDS),
});

/** The publications of a batch to one topic. */
export interface TopicPublications {
  readonly topic: string;
  /** The id of the first; those of the others are the numbers after its. */
  readonly publishId: string;
  readonly bodies: readonly string[];
  /** Publications kept; 0 for no history. */
  readonly historySize: number;
  readonly historyTtlMs: number;
  readonly epochCandidate: string;
  /** Those with an idempotency key, in their order. */
  readonly keys: readonly PublicationKey[];
}

interface PublicationKey {
  /** Of which of the bodies; the first is 0. */
  readonly index: number;
  readonly name: string;
  readonly fingerprint: string;
}

interface PublishOptions {
  readonly now: number;
  readonly topics: readonly TopicPublications[];
  readonly idempotencyMs: number;
  readonly idempotencyMax: number;
}

/** What became of the publications to one topic. */
export interface TopicAnswer {
  /** The offset of the first that was new; undefined when the topic keeps no history. */
  readonly offset: number | undefined;
  readonly epoch: string;
  /** Why none was published. */
  readonly failure: string | undefined;
  /** For each with a key: whether it was published, and if not, the first answer. */
  readonly keys: readonly KeyAnswer[];
}

interface KeyAnswer {
  readonly outcome: "" | "again" | "conflict";
  readonly offset: number | undefined;
  readonly epoch: string;
}

type Values = readonly (string | number | null)[];

/** How many publications the server has taken, and the age of a key that was forgotten before its time, or -1. */
interface PublishAnswer {
  readonly count: number;
  readonly forgottenAgeMs: number;
  /** In the order of the topics. */
  readonly topics: readonly TopicAnswer[];
}

/** The records of a source that are published together. */
export interface RecordsPublish extends PublishOptions {
  readonly partition: string;
  /** In the order of the records. */
  readonly positions: readonly RecordPosition[];
  /** After this, all is published up to here, wherever it belongs; undefined when it need not be said. */
  readonly upTo: string | undefined;
}

interface RecordPosition {
  /** Which of the topics, and which of its bodies; the first is 0. */
  readonly topic: number;
  readonly index: number;
  readonly position: string;
}

interface RecordsAnswer extends PublishAnswer {
  /** How many of the records were new. */
  readonly published: number;
}

/** Runs the scripts with their keys and arguments in the order that they expect. All reject with EngineUnavailable. */
export class PublishCalls {
  readonly #link: RedisLink;
  readonly #keys: Keys;

  constructor(link: RedisLink, keys: Keys) {
    this.#link = link;
    this.#keys = keys;
  }

  async publish(options: PublishOptions): Promise<PublishAnswer> {
    const { keys, args } = this.#argumentsOf(options);
    const values = await this.#link.run<Values>(PUBLISH_SCRIPTS.PUBLISH, keys, args);
    return answerOf(options.topics, values, 2);
  }

  async publishRecords(options: RecordsPublish): Promise<RecordsAnswer> {
    const { partition, positions, upTo } = options;
    const { keys, args } = this.#argumentsOf(options);
    for (const { topic, index, position } of positions) {
      args.push(String(topic + 1), String(index + 1), position);
    }
    args.push(textOf(upTo), String(positions.length));
    keys.push(this.#keys.position(partition));
    const values = await this.#link.run<Values>(PUBLISH_SCRIPTS.PUBLISH_RECORDS, keys, args);
    return { ...answerOf(options.topics, values, 3), published: Number(values[2]) };
  }

  #argumentsOf({ now, topics, idempotencyMs, idempotencyMax }: PublishOptions): {
    keys: string[];
    args: string[];
  } {
    const names = this.#keys;
    const keys = [names.dataGeneration, names.count, names.sharedEpoch];
    const args = [String(now), String(topics.length)];
    for (const each of topics) {
      const { topic } = each;
      keys.push(names.numbering(topic), names.history(topic));
      args.push(
        names.channel(topic),
        each.publishId,
        String(each.bodies.length),
        each.bodies.length === 1 ? (each.bodies[0] as string) : each.bodies.join("\n"),
        String(each.historySize),
        String(each.historyTtlMs),
        each.epochCandidate,
        names.epochTakenBit(topic),
      );
    }
    if (topics.some((each) => each.keys.length > 0)) {
      keys.push(names.idempotencyKeys);
      args.push(String(idempotencyMs), String(idempotencyMax), names.firstAnswer(""));
    }
    for (const [i, each] of topics.entries()) {
      for (const { index, name, fingerprint } of each.keys) {
        args.push(String(i + 1), String(index + 1), name, fingerprint);
      }
    }
    return { keys, args };
  }
}

/** `first` is where the answers about topics begin. */
function answerOf(
  topics: readonly TopicPublications[],
  values: Values,
  first: number,
): PublishAnswer {
  let at = first + 2 * topics.length;
  return {
    count: Number(values[0]),
    forgottenAgeMs: Number(values[1]),
    topics: topics.map(({ keys }, i) => {
      const [offset, text] = [values[first + 2 * i], String(values[first + 1 + 2 * i])];
      const answers = keys.map((): KeyAnswer => {
        const outcome = values[at] as KeyAnswer["outcome"];
        const answer = { outcome, offset: offsetOf(values[at + 1]), epoch: String(values[at + 2]) };
        at += 3;
        return answer;
      });
      if (offset === null) return { offset: undefined, epoch: "", failure: text, keys: answers };
      return { offset: offsetOf(offset), epoch: text, failure: undefined, keys: answers };
    }),
  };
}

function offsetOf(value: string | number | null | undefined): number | undefined {
  return value === "" ? undefined : Number(value);
}
