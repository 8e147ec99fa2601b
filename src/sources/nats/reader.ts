// Reads a stream of NATS JetStream in its order, each message once: the number that the stream gave it is its position.
//
// It asks for messages as they are needed, by the pull requests of JetStream's protocol and not by the client's own iterators: those ask
// for a new message when one has arrived, whether or not it was read, and take no bound in bytes beside one in messages.
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { headers, type Msg, type NatsConnection } from "@nats-io/transport-node";
import { Arrivals } from "../arrivals";
import {
  BATCH_BYTES_MAX,
  BATCH_RECORDS_MAX,
  type DeadRecord,
  type Reader,
  type SourceContext,
} from "../contract";
import { connected } from "./connection";
import { type OpenedConsumer, openConsumer } from "./consumer";
import { bytesOf, type DeadLetter, shortenedLetter, wholeLetter } from "./dead-letter";
import type { NatsOptions } from "./options";
import { NatsRecord, numbersOf } from "./record";

const ANSWER_TIMEOUT_MS = 10_000;

/** How long the server holds a request for messages, and after how long without an answer the request is lost. */
const PULL_MS = 30_000;
const PULL_LOST_MS = PULL_MS + 10_000;

/** What a server says at the end of a request for messages: nothing more came in time, or what was asked for is there. */
const TIMED_OUT = 408;
const CONFLICT = 409;
const COMPLETE = /Batch Completed|Exceeds MaxBytes/i;

/** What a stream says of a message that its configuration or its store is too small for. */
const TOO_LARGE = /too large|exceeds maximum/i;

export class NatsReader implements Reader<NatsRecord> {
  readonly #options: NatsOptions;
  readonly #context: SourceContext;
  readonly #connection: NatsConnection;
  readonly #manager: JetStreamManager;
  readonly #consumer: OpenedConsumer;
  /** Where the answers of the server to this reader come. Each request for messages has a name in it. */
  readonly #inbox: string;
  /** The partition names the life of the stream: its numbers begin again when somebody makes it anew. */
  readonly #partition: string;
  readonly #arrivals = new Arrivals<NatsRecord>();
  /** What the last `read` gave. */
  #held: readonly NatsRecord[] = [];
  /** The messages that the server still owes to the request that is under way. */
  #owed = 0;
  #requests = 0;
  #answered = 0;
  #bytesMax = BATCH_BYTES_MAX;
  #pullTimer: Timer | undefined;
  /** The number that the consumer gave to the last message. One that is missing was lost on the way. */
  #delivered = 0;

  /** Connects and makes its consumer. Rejects with an Error that says what is wrong, without a secret. */
  static async open(options: NatsOptions, context: SourceContext): Promise<NatsReader> {
    const connection = await connected(options, context.name);
    try {
      const manager = await jetstreamManager(connection, { timeout: ANSWER_TIMEOUT_MS });
      await manager.streams.find(options.dead_letters).catch(() => {
        throw new Error(`no stream takes the subject ${options.dead_letters} of dead_letters`);
      });
      const consumer = await openConsumer(manager, context.name, options);
      return new NatsReader(options, context, connection, manager, consumer);
    } catch (error) {
      await connection.close().catch(() => {});
      throw error;
    }
  }

  private constructor(
    options: NatsOptions,
    context: SourceContext,
    connection: NatsConnection,
    manager: JetStreamManager,
    consumer: OpenedConsumer,
  ) {
    this.#options = options;
    this.#context = context;
    this.#connection = connection;
    this.#manager = manager;
    this.#consumer = consumer;
    this.#partition = `${options.stream}@${consumer.created}`;
    this.#inbox = `_INBOX.${crypto.randomUUID()}`;
    connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error) this.#fail(error);
        else this.#take(message);
      },
    });
    void connection
      .closed()
      .then((error) => this.#fail(error ?? new Error("the connection to the server has ended")));
  }

  async read(): Promise<readonly NatsRecord[]> {
    this.#ask();
    await this.#arrivals.waited();
    this.#held = this.#arrivals.take();
    // The next ones may come while these are published.
    this.#ask();
    return this.#held;
  }

  /** Asks for as many messages as a batch has, unless those asked for before are not all there or not read. */
  #ask(): void {
    if (this.#owed > 0 || this.#arrivals.count > 0 || this.#arrivals.hasFailed) return;
    const { stream } = this.#options;
    // One that is larger than all that may come at once comes alone.
    const alone = this.#bytesMax === 0;
    this.#owed = alone ? 1 : BATCH_RECORDS_MAX;
    this.#answered = 0;
    const request = {
      batch: this.#owed,
      expires: PULL_MS * 1e6,
      ...(!alone && { max_bytes: this.#bytesMax }),
    };
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${this.#consumer.name}`;
    const reply = `${this.#inbox}.${++this.#requests}`;
    this.#connection.publish(subject, JSON.stringify(request), { reply });
    clearTimeout(this.#pullTimer);
    this.#pullTimer = setTimeout(() => {
      this.#fail(new Error("the server does not answer"));
    }, PULL_LOST_MS);
  }

  #take(message: Msg): void {
    const numbers = numbersOf(message);
    if (numbers === undefined) {
      this.#end(message);
      return;
    }
    if (numbers.delivered !== this.#delivered + 1) {
      this.#fail(new Error("a message was lost on its way from the server"));
      return;
    }
    this.#delivered = numbers.delivered;
    this.#owed--;
    this.#answered++;
    this.#bytesMax = BATCH_BYTES_MAX;
    if (this.#owed === 0) clearTimeout(this.#pullTimer);
    const { bodyBytesMax } = this.#context;
    this.#arrivals.add(new NatsRecord(this.#partition, numbers.sequence, message, bodyBytesMax));
  }

  /** The server sends nothing more for a request. */
  #end({ subject, headers: { code, description } = headers() }: Msg): void {
    const isComplete = code === CONFLICT && COMPLETE.test(description);
    if (code !== TIMED_OUT && !isComplete) {
      this.#fail(new Error(`the server ends the reading: ${code} ${description}`));
      return;
    }
    // It may say so of a request whose messages are all there, when the next is under way.
    if (subject !== `${this.#inbox}.${this.#requests}`) return;
    clearTimeout(this.#pullTimer);
    this.#owed = 0;
    if (isComplete && this.#answered === 0) this.#bytesMax = 0;
    this.#ask();
  }

  async acknowledge(dead: readonly DeadRecord<NatsRecord>[]): Promise<void> {
    for (const one of dead) await this.#bury(one);
    const last = this.#held.at(-1);
    if (last === undefined) return;
    if (this.#consumer.acknowledges === "one") {
      for (const { message } of this.#held) if (message !== last.message) message.respond("+ACK");
    }
    // The server answers when it has the acknowledgement.
    await this.#connection.request(last.message.reply as string, "+ACK", {
      timeout: ANSWER_TIMEOUT_MS,
    });
    this.#held = [];
  }

  async #bury(dead: DeadRecord<NatsRecord>): Promise<void> {
    const whole = wholeLetter(dead);
    // The server ends the connection of a client that sends more than this; a stream that takes less says so.
    const fits = bytesOf(whole) <= (this.#connection.info?.max_payload ?? 0);
    let problem = fits ? await this.#sendDead(whole) : "message too large";
    if (problem !== undefined && TOO_LARGE.test(problem)) {
      problem = await this.#sendDead(shortenedLetter(dead));
    }
    if (problem !== undefined) throw new Error(`dead_letters: ${problem}`);
  }

  /** Resolves when the stream has the letter; with the server's words when it does not take it. */
  async #sendDead({ headers, data }: DeadLetter): Promise<string | undefined> {
    const answer = await this.#connection.request(this.#options.dead_letters, data, {
      headers,
      timeout: ANSWER_TIMEOUT_MS,
    });
    return answer.json<{ error?: { description: string } }>().error?.description;
  }

  async lag(): Promise<number | undefined> {
    const { num_pending } = await this.#manager.consumers.info(
      this.#options.stream,
      this.#consumer.name,
    );
    return num_pending + this.#arrivals.count;
  }

  async close(): Promise<void> {
    this.#fail(new Error("the reader is closed"));
    await this.#connection.close().catch(() => {});
  }

  #fail(error: Error): void {
    clearTimeout(this.#pullTimer);
    this.#arrivals.fail(error);
  }
}
