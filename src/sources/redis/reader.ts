// Reads a Redis stream as the only consumer of its group. The id of an entry is its position: ids rise as the clock of the server does,
// so a stream that is made anew goes on above the old one.
import { createHash, randomUUID } from "node:crypto";
import { RedisClient } from "bun";
import { redisRefusal } from "../../redis-refusal";
import { parseJson } from "../../relay/text/json";
import {
  BATCH_BYTES_MAX,
  BATCH_RECORDS_MAX,
  type DeadRecord,
  type InboundRecord,
  READ_WAIT_MS,
  type Reader,
  type SourceContext,
} from "../contract";
import { answered } from "../silence";
import { certificatesOf } from "../tls";
import type { RedisOptions } from "./options";
import { ACKNOWLEDGE, DIGEST, LOST, READ, TAKE_OVER } from "./scripts";

/** How long the server may take to accept a connection, and to answer beyond what it was asked to wait. */
const CONNECT_TIMEOUT_MS = 5_000;
const ANSWER_TIMEOUT_MS = 10_000;

/** Those of the two halves of an id: milliseconds of 300,000 years, and a number of 64 bits. */
const MOMENT_DIGITS = 16;
const NUMBER_DIGITS = 20;

/** The greatest number of an id. */
const NUMBER_MAX = 2n ** 64n - 1n;

const DEAD_LETTERS_MAX = 100_000;

/** The fields that have JSON, where the fields of an entry are the body. */
const JSON_FIELDS: readonly string[] = ["data", "payload"];

/** An entry as the script answers: its fields, its size where that is too large, neither where it is gone. */
type Entry = readonly [id: string, fields?: readonly string[] | number];

interface StreamRecord extends InboundRecord {
  readonly id: string;
}

export class RedisReader implements Reader<StreamRecord> {
  readonly #client: RedisClient;
  readonly #options: RedisOptions;
  readonly #context: SourceContext;
  readonly #group: string;
  readonly #consumer = `baton-${randomUUID()}`;
  /** What is read next: what was read before and not acknowledged after this id, and at last what is new. */
  #from = "0";
  /** The newest id that was read, or seen. */
  #newest = "0";
  /** Of the last `read`; those that are gone are acknowledged too. */
  #ids: readonly string[] = [];

  private constructor(client: RedisClient, options: RedisOptions, context: SourceContext) {
    this.#client = client;
    this.#options = options;
    this.#context = context;
    this.#group = options.group ?? "baton";
  }

  /** Takes the group over from whoever reads it. Rejects when the server cannot be reached, or refuses. */
  static async open(options: RedisOptions, context: SourceContext): Promise<RedisReader> {
    const { url } = options;
    const tls = certificatesOf(options);
    const client = new RedisClient(url, {
      autoReconnect: false,
      enableOfflineQueue: false,
      connectionTimeout: CONNECT_TIMEOUT_MS,
      ...(tls !== undefined && { tls }),
    });
    const reader = new RedisReader(client, options, context);
    try {
      await answered(client.connect(), CONNECT_TIMEOUT_MS).catch(async (error) => {
        const refusal = await redisRefusal(url, { tls });
        throw new Error(`${new URL(url).host} cannot be used: ${refusal ?? error.message}`);
      });
      await reader.#takeOver();
      return reader;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  async read(): Promise<readonly StreamRecord[]> {
    const isNew = this.#from === ">";
    let entries = await this.#entries();
    if (isNew && entries.length === 0 && (await this.#waited())) entries = await this.#entries();
    this.#ids = entries.map(([id]) => id);
    const last = this.#ids.at(-1);
    if (last !== undefined) {
      if (!isNew) this.#from = last;
      else this.#newest = last;
    } else if (!isNew) this.#from = ">";
    const gone = entries.filter(([, fields]) => fields === undefined).map(([id]) => id);
    if (gone.length > 0) {
      this.#tellOfLost(gone.length, gone[0]);
      // A batch without records is not acknowledged.
      if (gone.length === entries.length) await this.acknowledge([]);
    }
    const records = entries.filter(([, fields]) => fields !== undefined);
    return Promise.all(records.map((entry) => this.#recordOf(entry)));
  }

  async acknowledge(dead: readonly DeadRecord<StreamRecord>[]): Promise<void> {
    const { delete: isDeleted, dead_letters_max: max = DEAD_LETTERS_MAX } = this.#options;
    await this.#eval(ACKNOWLEDGE, [
      ...[isDeleted ? "delete" : "keep", String(max), this.#context.name, String(dead.length)],
      ...dead.flatMap(({ record, reason }) => [record.id, reason.code, reason.message]),
      ...this.#ids,
    ]);
    this.#ids = [];
  }

  async lag(): Promise<number | undefined> {
    await this.#tellOfRemoved();
    const group = await this.#groupInfo();
    // Redis 6.2 says nothing, and newer ones not always.
    if (typeof group?.lag !== "number") return undefined;
    return group.lag + Number(group.pending);
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  async #takeOver(): Promise<void> {
    const { stream, from = "first" } = this.#options;
    const published = await this.#context.lastPosition(stream);
    const start = published === undefined ? STARTS[from] : idBefore(published);
    try {
      await this.#send("XGROUP", ["CREATE", stream, this.#group, start, "MKSTREAM"]);
    } catch (error) {
      if (!(error as Error).message.startsWith("BUSYGROUP")) throw error;
    }
    const gone = await this.#eval<readonly string[]>(TAKE_OVER, []);
    if (gone.length > 0) this.#tellOfLost(gone.length, gone[0]);
    await this.#tellOfRemoved();
    const { "last-delivered-id": delivered } = (await this.#groupInfo()) ?? {};
    this.#newest = String(delivered ?? "0");
    if (published !== undefined) await this.#checkAge(published);
  }

  /** An older stream, as after a failover that lost its newest entries, gives ids that count as published already. */
  async #checkAge(published: string): Promise<void> {
    const { stream } = this.#options;
    const info = await this.#send<Record<string, unknown>>("XINFO", ["STREAM", stream]);
    const newest = String(info["last-generated-id"]);
    // An empty one says nothing of what comes, and ids are moments: what is added now is newer.
    if (info.length === 0 || positionOf(newest) >= published) return;
    this.#context.warn(
      `the stream ${stream} ends with ${newest}, which is older than what was published: entries that are added below that are not published. If it is another stream, give the source another name`,
    );
  }

  async #groupInfo(): Promise<Record<string, unknown> | undefined> {
    const { stream } = this.#options;
    const groups = await this.#send<readonly Record<string, unknown>[]>("XINFO", [
      "GROUPS",
      stream,
    ]);
    return groups.find(({ name }) => name === this.#group);
  }

  async #tellOfRemoved(): Promise<void> {
    const removed = await this.#eval<number>(LOST, []);
    if (removed > 0) this.#tellOfLost(removed);
  }

  #entries(): Promise<readonly Entry[]> {
    return this.#eval(READ, [
      ...[this.#from, String(BATCH_RECORDS_MAX), String(BATCH_BYTES_MAX)],
      String(this.#context.bodyBytesMax),
    ]);
  }

  /** Resolves with whether there may be something new, after READ_WAIT_MS at most. */
  async #waited(): Promise<boolean> {
    const { stream } = this.#options;
    // Not as the consumer: an older reader would be given an entry, whatever a newer one has said.
    const answer = await this.#send<Record<string, readonly Entry[]> | null>("XREAD", [
      ...["COUNT", "1", "BLOCK", String(READ_WAIT_MS), "STREAMS", stream, this.#newest],
    ]);
    const [entry] = answer?.[stream] ?? [];
    if (entry === undefined) return false;
    // Somebody else may have moved the group: what it will not be given must not be waited for again and again.
    this.#newest = entry[0];
    return true;
  }

  async #recordOf([id, fields]: Entry): Promise<StreamRecord> {
    const position = positionOf(id);
    const record = { id, partition: this.#options.stream, position };
    if (typeof fields === "number") return { ...record, body: undefined, size: fields };
    const attributes = pairs(fields ?? []);
    // Bun's client makes U+FFFD of what is not UTF-8.
    if (fields?.some((text) => text.includes("\ufffd")) && !(await this.#isExact(id, fields))) {
      return { ...record, body: Uint8Array.of(0xff) };
    }
    const { field } = this.#options;
    const body = field === undefined ? bodyOf(attributes) : attributes[field];
    return { ...record, body, attributes: { ...attributes, id } };
  }

  async #isExact(id: string, fields: readonly string[]): Promise<boolean> {
    const digest = await this.#send("EVAL", [DIGEST, "1", this.#options.stream, id]);
    const hash = createHash("sha1");
    for (const text of fields) hash.update(text).update("\0");
    return digest === hash.digest("hex");
  }

  #tellOfLost(count: number, id?: string): void {
    const which = id === undefined ? "" : `, such as ${id}`;
    this.#context.lost(
      count,
      `${count} entries of the stream ${this.#options.stream} were removed before they were published${which}: they are lost`,
    );
  }

  #eval<Answer>(script: string, args: readonly string[]): Promise<Answer> {
    const { stream, dead_letters: dead = `${stream}:dead` } = this.#options;
    const keys = [stream, dead];
    return this.#send<Answer>("EVAL", [
      ...[script, String(keys.length), ...keys],
      ...[this.#group, this.#consumer, ...args],
    ]);
  }

  async #send<Answer>(command: string, args: string[]): Promise<Answer> {
    const answer = this.#client.send(command, args) as Promise<Answer>;
    return answered(answer, ANSWER_TIMEOUT_MS, () => this.#client.close());
  }
}

/** Where a group begins. */
const STARTS = { first: "0", next: "$" } as const;

/** The id before the one of a position: a group begins behind it. */
function idBefore(position: string): string {
  const moment = BigInt(position.slice(0, MOMENT_DIGITS));
  const number = BigInt(position.slice(MOMENT_DIGITS));
  if (number > 0n) return `${moment}-${number - 1n}`;
  return moment > 0n ? `${moment - 1n}-${NUMBER_MAX}` : "0";
}

/** As digits of which there are always as many: 1526919030474-55 is a moment and a number. */
function positionOf(id: string): string {
  const [moment = "", number = ""] = id.split("-");
  return moment.padStart(MOMENT_DIGITS, "0") + number.padStart(NUMBER_DIGITS, "0");
}

/** Of a field that is there twice, the last counts. */
function pairs(fields: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (let i = 0; i + 1 < fields.length; i += 2) {
    // A field may be called __proto__.
    Object.defineProperty(found, fields[i] as string, {
      value: fields[i + 1],
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return found;
}

/**
 * The fields as one JSON object; those of JSON_FIELDS are JSON already, whose bytes stay. Any of them that is no JSON is the body, which
 * then cannot be read.
 */
function bodyOf(attributes: Readonly<Record<string, string>>): string {
  const members: string[] = [];
  for (const [name, text] of Object.entries(attributes)) {
    const isJson = JSON_FIELDS.includes(name);
    // Otherwise a text such as 1,"user_id":2 would become more than one member.
    if (isJson && !isJsonText(text)) return text;
    members.push(`${JSON.stringify(name)}:${isJson ? text : JSON.stringify(text)}`);
  }
  return `{${members.join(",")}}`;
}

function isJsonText(text: string): boolean {
  try {
    parseJson(text);
    return true;
  } catch {
    return false;
  }
}
