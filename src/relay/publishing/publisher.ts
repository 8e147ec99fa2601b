// Takes what publishers ask for: turns it into publications or refuses it, and hands it to the engine, unless the engine
// already has more to do than it may.
import { type Engine, EngineUnavailable } from "../contracts/engine";
import { Refusal, shuttingDown } from "../contracts/errors";
import { type Maybe, then } from "../contracts/maybe";
import type { CheckDeclared, Limits, Pushes, RelayOptions } from "../contracts/options";
import type { Publication, Published, PushContent } from "../contracts/publication";
import type { RecordsOutcome, SourceRecord } from "../contracts/store";
import type { Tally } from "../contracts/tally";
import type { TopicRules } from "../contracts/topic-rules";
import type { Connections } from "../state/connections";
import {
  checkData,
  checkEvent,
  checkIdempotencyKey,
  checkMessage,
  checkTopic,
  toUser,
} from "../text/checks";

/** What a publisher asks for: either `message` or `data`. */
export interface PublishCommand {
  readonly topic: string;
  /** Text. */
  readonly message?: string | undefined;
  /** Valid JSON text; its bytes go out unchanged. */
  readonly data?: string | undefined;
  readonly user_id?: number | string | undefined;
  /** The id of a connection that must not get the publication live. */
  readonly except?: string | undefined;
  readonly idempotency_key?: string | undefined;
  /** JSON text of an object whose values are texts, for the receivers. */
  readonly tags?: string | undefined;
  /** What kind of message it is, for receivers whose protocol names its messages. */
  readonly event?: string | undefined;
  /** What the user's devices show if no connection takes it. */
  readonly push?: PushContent | undefined;
}

/** About what a publication takes besides its data while the engine works on it. */
const OVERHEAD_BYTES = 512;

export class Publisher {
  readonly #engine: Engine;
  readonly #limits: Limits;
  readonly #rules: TopicRules;
  readonly #checkDeclared: CheckDeclared | undefined;
  readonly #connections: Connections;
  readonly #tally: Tally;
  readonly #pushes: Pushes | undefined;
  /** Publications that the engine has not answered, at two bytes for each character. */
  #pendingBytes = 0;

  constructor(
    {
      engine,
      limits,
      rules,
      tally,
      checkDeclared,
      pushes,
    }: Pick<RelayOptions, "engine" | "limits" | "rules" | "tally" | "checkDeclared" | "pushes">,
    connections: Connections,
  ) {
    this.#engine = engine;
    this.#limits = limits;
    this.#rules = rules;
    this.#checkDeclared = checkDeclared;
    this.#pushes = pushes;
    this.#connections = connections;
    this.#tally = tally;
  }

  /** Whether the engine has answered enough of what it was given to be given more. */
  get hasRoom(): boolean {
    return this.#pendingBytes <= this.#limits.pendingBytes;
  }

  /**
   * Publishes to a topic's subscribers, or to one user's connections among them. Rejects if the engine fails.
   * Cost: the topic's protocols plus native fan-out; for one user, that user's connections.
   */
  publish(command: PublishCommand): Maybe<Published | Refusal> {
    if (this.#connections.isShuttingDown) return shuttingDown();
    const publication = toPublication(command, this.#limits.messageBytes);
    if (publication instanceof Refusal) return publication;
    if (
      command.push !== undefined ||
      (this.#pushes !== undefined && publication.user !== undefined)
    ) {
      return this.#publishWithPush(publication, command);
    }
    return this.submit(publication, command.idempotency_key);
  }

  /** Answers when what is to be pushed is kept too: until then a publisher that gets no answer repeats it. */
  #publishWithPush(
    publication: Publication,
    { push, idempotency_key }: PublishCommand,
  ): Maybe<Published | Refusal> {
    if (this.#pushes === undefined) return noPushes();
    if (publication.user === undefined) {
      return new Refusal(
        "invalid_push",
        "A push is for the devices of one user: give user_id too.",
      );
    }
    return then(this.#pushes.prepare(publication, push, idempotency_key), (prepared) => {
      if (prepared instanceof Refusal) return prepared;
      if (prepared === undefined) return this.submit(publication, idempotency_key);
      const marked = { ...publication, push: prepared.id };
      return then(this.submit(marked, idempotency_key), (published) => {
        if (published instanceof Refusal) return published;
        return then(prepared.keep(published), (refusal) => refusal ?? published);
      });
    });
  }

  /**
   * Publishes the same to each of many topics, in their order; the text is checked once. Where only topics that a rule
   * names are known, others are refused (`unknown_topic`).
   */
  publishToAll(
    topics: readonly string[],
    command: Omit<PublishCommand, "topic">,
  ): Maybe<Published | Refusal>[] {
    if (this.#connections.isShuttingDown) return topics.map(shuttingDown);
    const common = toPublication({ ...command, topic: "any" }, this.#limits.messageBytes);
    if (common instanceof Refusal) return topics.map(() => common);
    return topics.map(
      (topic) =>
        checkTopic(topic) ??
        this.#rules.check(topic) ??
        this.submit({ ...common, topic }, command.idempotency_key),
    );
  }

  /** Publishes each of these in their order or, where one of them is refused before, none of them. */
  publishEach(commands: readonly PublishCommand[]): Maybe<Published | Refusal>[] | Refusal {
    if (this.#connections.isShuttingDown) return shuttingDown();
    const publications: Publication[] = [];
    for (const command of commands) {
      const publication = toPublication(command, this.#limits.messageBytes);
      if (publication instanceof Refusal) return publication;
      const refusal = this.#checkDeclared?.(publication);
      if (refusal !== undefined) return refusal;
      publications.push(publication);
    }
    return publications.map((one, i) => this.submit(one, commands[i]?.idempotency_key));
  }

  /**
   * Hands a publication whose texts were checked to the engine: all publications come by here. Refuses `undeclared_topic`,
   * `invalid_data`, `too_many_publications`. Rejects if the engine fails.
   */
  submit(publication: Publication, idempotencyKey?: string): Maybe<Published | Refusal> {
    const refusal = this.#checkDeclared?.(publication);
    if (refusal !== undefined) return refusal;
    if (!this.hasRoom) return this.#tooMany();
    const published = this.#engine.publish(publication, idempotencyKey);
    if (!(published instanceof Promise)) {
      this.#count(published);
      return published;
    }
    const bytes = OVERHEAD_BYTES + 2 * publication.data.length;
    this.#pendingBytes += bytes;
    published.then(
      (answer) => {
        this.#pendingBytes -= bytes;
        this.#count(answer);
      },
      () => {
        this.#pendingBytes -= bytes;
      },
    );
    return published;
  }

  /** The publication that a record of a source asks for. Refuses what `publish` does, and `unknown_topic`. */
  checkRecord(command: PublishCommand): Publication | Refusal {
    const publication = toPublication(command, this.#limits.messageBytes);
    if (publication instanceof Refusal) return publication;
    return (
      this.#rules.check(publication.topic) ?? this.#checkDeclared?.(publication) ?? publication
    );
  }

  /**
   * Publishes records of a source that have passed `checkRecord`; see RecordStore. Rejects with EngineUnavailable when the engine fails or
   * has enough to do: the same records are to be given again then.
   */
  async publishRecords(
    partition: string,
    records: readonly SourceRecord[],
  ): Promise<RecordsOutcome> {
    if (this.#connections.isShuttingDown) throw new EngineUnavailable("the relay is shutting down");
    if (!this.hasRoom) throw new EngineUnavailable(this.#tooMany().message);
    let bytes = 0;
    for (const { publication } of records) bytes += OVERHEAD_BYTES + 2 * publication.data.length;
    this.#pendingBytes += bytes;
    try {
      const outcome = await this.#engine.publishRecords(partition, records);
      this.#tally.publications += outcome.published + outcome.repeated;
      return outcome;
    } finally {
      this.#pendingBytes -= bytes;
    }
  }

  #count(answer: Published | Refusal): void {
    if (!(answer instanceof Refusal)) this.#tally.publications++;
  }

  #tooMany(): Refusal {
    return new Refusal(
      "too_many_publications",
      `The engine has not answered publications of ${this.#limits.pendingBytes} bytes (BATON_PENDING_BYTES); publish more slowly.`,
    );
  }
}

function noPushes(): Refusal {
  return new Refusal(
    "not_available",
    "The relay has no other way to users than connections: set BATON_VAPID_PUBLIC_KEY and what belongs to it, or a receiver of publication.undelivered in BATON_WEBHOOKS.",
  );
}

/** The publication that a publisher asks for. Cost: the length of its text. */
export function toPublication(
  command: PublishCommand,
  messageBytes: number,
): Publication | Refusal {
  const { topic, message, data, user_id, except, idempotency_key, tags, event } = command;
  if ((message === undefined) === (data === undefined)) {
    return new Refusal("invalid_body", "Give either message (text) or data (any JSON).");
  }
  const refusal =
    checkTopic(topic) ??
    (message === undefined ? undefined : checkMessage(message, messageBytes)) ??
    (data === undefined ? undefined : checkData(data, messageBytes)) ??
    (idempotency_key === undefined ? undefined : checkIdempotencyKey(idempotency_key)) ??
    (event === undefined ? undefined : checkEvent(event));
  if (refusal !== undefined) return refusal;
  const user = user_id === undefined ? undefined : toUser(user_id);
  if (user instanceof Refusal) return user;
  const publication =
    message === undefined
      ? { topic, data: data as string, json: true, user, except }
      : { topic, data: message, user, except };
  if (tags === undefined && event === undefined) return publication;
  return {
    ...publication,
    ...(tags !== undefined && { tags }),
    ...(event !== undefined && { event }),
  };
}
