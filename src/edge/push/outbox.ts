// Keeps pushes in the engine until they are due: there they outlive the process, and whichever node leads then sends them.
import { hash } from "node:crypto";
import { Refusal } from "../../relay/contracts/errors";
import type { Maybe } from "../../relay/contracts/maybe";
import type { PreparedPush, Pushes } from "../../relay/contracts/options";
import type { Publication, Published, PushContent } from "../../relay/contracts/publication";
import type { Queues } from "../../relay/contracts/store";
import type { TopicRules } from "../../relay/contracts/topic-rules";
import { newId } from "../access/random-ids";
import { messageOf, messageOfTemplate } from "./content";
import type { DeviceCipher } from "./devices/device-cipher";
import type { PushMessage } from "./services/sender";

/** The queue in the engine, and where its entries are encrypted for. */
export const QUEUE = "pushes";

/** How long publications are refused after one for which there was no room. */
const FULL_MS = 1_000;

/** A publication whose push waits. */
export interface PendingPush extends PushMessage {
  readonly id: string;
  /** Of this entry: a publication that its publisher repeats has several. */
  readonly entry: string;
  readonly user: string;
  readonly topic: string;
  /** Undefined where the topic keeps no history. */
  readonly position: { readonly epoch: string; readonly offset: number } | undefined;
  /** In ms of Unix time, so that all nodes know it alike. */
  readonly acceptedAt: number;
  /** Whether it may be there again. */
  readonly isKeyed: boolean;
  /** What was published, where a backend is to be told of what was not delivered. */
  readonly publication?: Pick<Publication, "data" | "json" | "event"> | undefined;
}

interface OutboxOptions {
  readonly queues: Queues;
  readonly cipher: DeviceCipher;
  readonly rules: TopicRules;
  readonly pushesMax: number;
  /** What goes with an entry: all that a backend is told, or only what devices are sent. */
  readonly carries: "publication" | "push";
  readonly now: () => number;
}

export class PushOutbox implements Pushes {
  readonly #options: OutboxOptions;
  #fullUntil = 0;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  prepare(
    publication: Publication,
    content: PushContent | undefined,
    key: string | undefined,
  ): PreparedPush | Refusal | undefined {
    const { topic } = publication;
    const template = content === undefined ? this.#options.rules.of(topic).push : undefined;
    if (content === undefined && template === undefined) return undefined;
    const message =
      content !== undefined
        ? messageOf(content, topic)
        : messageOfTemplate(template as PushContent, publication);
    if (message instanceof Refusal) return message;
    if (this.#options.now() < this.#fullUntil) return this.#tooMany();
    // Whoever repeats a publication with its key gets the first answer, and its push must not go out twice.
    const id = key === undefined ? newId() : hash("sha256", `${topic}\0${key}`).slice(0, 32);
    const isKeyed = key !== undefined;
    return {
      id,
      keep: (published) => this.#keep(publication, { ...message, id, isKeyed }, published),
    };
  }

  async #keep(
    { topic, user = "", data, json, event }: Publication,
    message: PushMessage & Pick<PendingPush, "id" | "isKeyed">,
    { epoch, offset }: Published,
  ): Promise<Refusal | undefined> {
    const { queues, cipher, pushesMax, carries, now } = this.#options;
    const position = epoch === undefined || offset === undefined ? undefined : { epoch, offset };
    const pending: PendingPush = {
      ...message,
      entry: newId(),
      user,
      topic,
      position,
      acceptedAt: now(),
      ...(carries === "publication" && { publication: { data, json: json === true, event } }),
    };
    const sealed = await cipher.seal(JSON.stringify(pending), QUEUE);
    const kept = await (queues.append(QUEUE, [sealed], pushesMax) as Maybe<number>);
    if (kept > 0) return undefined;
    this.#fullUntil = now() + FULL_MS;
    return this.#tooMany();
  }

  #tooMany(): Refusal {
    return new Refusal(
      "too_many_pushes",
      `${this.#options.pushesMax} publications with a push wait (BATON_PUSHES_MAX), or the store is full (BATON_STORE_BYTES). Try again in a moment; with the same idempotency key, connections get it only once.`,
    );
  }
}
