// What is published: taken, and handed to the engine, unless it already has more to do than it may.

import type { Engine } from "../contracts/engine";
import { Refusal } from "../contracts/errors";
import type { Limits } from "../contracts/limits";
import type { Publication, Published } from "../contracts/publication";
import { type PublishCommand, toPublication } from "./acceptance";

/** About what a publication takes beside its data while the engine has it. */
const OVERHEAD_BYTES = 512;

export class Publisher {
  readonly #engine: Engine;
  readonly #limits: Limits;
  /** What the engine has taken and not yet answered: bytes, at two for each character. */
  #pendingBytes = 0;

  constructor(engine: Engine, limits: Limits) {
    this.#engine = engine;
    this.#limits = limits;
  }

  /** What a publisher asks for; refuses what cannot be. Rejects if the engine fails. */
  take(command: PublishCommand): Published | Refusal | Promise<Published | Refusal> {
    const publication = toPublication(command, this.#limits.messageBytes);
    if (publication instanceof Refusal) return publication;
    return this.publish(publication, command.idempotency_key);
  }

  /** Refuses `too_many_publications`. Rejects if the engine fails. */
  publish(
    publication: Publication,
    key?: string,
  ): Published | Refusal | Promise<Published | Refusal> {
    if (this.#pendingBytes > this.#limits.pendingBytes) return this.#tooMany();
    const published = this.#engine.publish(publication, key);
    if (!(published instanceof Promise)) return published;
    const bytes = OVERHEAD_BYTES + 2 * publication.data.length;
    this.#pendingBytes += bytes;
    const answered = () => {
      this.#pendingBytes -= bytes;
    };
    published.then(answered, answered);
    return published;
  }

  #tooMany(): Refusal {
    return new Refusal(
      "too_many_publications",
      `The engine has not answered publications of ${this.#limits.pendingBytes} bytes (BATON_PENDING_BYTES); publish more slowly.`,
    );
  }
}
