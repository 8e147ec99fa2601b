// Up to where a stream was published, and whether it is still the same stream. AMQP says neither: the engine has the position of the last
// message that was published or buried, with a digest of it, and a stream that somebody has made anew has another message there, or none.
import type { ConsumeMessage } from "amqplib";
import type { SourceContext } from "../contract";
import type { RabbitmqOptions } from "./options";
import { offsetIn, offsetOf, positionOf, type StreamPlace } from "./record";

/** The last message of which something was kept. One that was published may have been so in part; one that is done is not to come again. */
interface Last {
  readonly position: string;
  readonly isDone: boolean;
}

/** How often a stream may be made anew. */
const LIVES_MAX = 10_000;

export class StreamLife {
  readonly #stream: string;
  readonly #from: RabbitmqOptions["from"];
  readonly #context: SourceContext;
  /** The number of this life, which is in the name that the engine knows the stream by. */
  #life: number;
  /** Until it is clear whether it is still there. */
  #last: Last | undefined;
  /** The offset of the next message. */
  #next: number | undefined;

  /** Finds the newest life of which anything was published or buried. */
  static async open(
    { stream = "", from }: RabbitmqOptions,
    context: SourceContext,
  ): Promise<StreamLife> {
    let [life, last] = [0, await lastOf(context, partitionOf(stream, 0))];
    while (last !== undefined && life < LIVES_MAX) {
      const next = await lastOf(context, partitionOf(stream, life + 1));
      if (next === undefined) break;
      [life, last] = [life + 1, next];
    }
    return new StreamLife(stream, from, context, life, last);
  }

  private constructor(
    stream: string,
    from: RabbitmqOptions["from"],
    context: SourceContext,
    life: number,
    last: Last | undefined,
  ) {
    this.#stream = stream;
    this.#from = from;
    this.#context = context;
    this.#life = life;
    this.#last = last;
  }

  /** Where a consumer is to begin. The last message comes again: it shows whether this is the same stream. */
  get beginning(): number | "first" | "next" {
    if (this.#next !== undefined) return this.#next;
    if (this.#last !== undefined) return offsetIn(this.#last.position);
    return this.#from === "next" ? "next" : "first";
  }

  /** How many messages stand before this one and have not come; undefined until the first has. */
  missingBefore(offset: number): number | undefined {
    return this.#next === undefined ? undefined : Math.max(offset - this.#next, 0);
  }

  /**
   * Where the next message stands; "done" when nothing is to be done with it; undefined when it is of another life, which is to be read
   * from its first message.
   */
  placeOf(message: ConsumeMessage): StreamPlace | "done" | undefined {
    const offset = offsetOf(message);
    this.#next = offset + 1;
    if (this.#last !== undefined) {
      const { position, isDone } = this.#last;
      const last = offsetIn(position);
      if (offset <= last && positionOf(message, offset) !== position) {
        this.#beginAnew();
        return undefined;
      }
      if (offset > last + 1) {
        this.#context.warn(
          `${offset - last - 1} messages of the stream ${this.#stream} were removed by RabbitMQ before they were read`,
        );
      }
      this.#last = undefined;
      if (isDone && offset === last) return "done";
    }
    return { partition: partitionOf(this.#stream, this.#life), offset };
  }

  #beginAnew(): void {
    this.#context.warn(
      `the stream ${this.#stream} was made anew, and is read from its first message`,
    );
    this.#life++;
    this.#last = undefined;
    this.#next = 0;
  }
}

async function lastOf(context: SourceContext, partition: string): Promise<Last | undefined> {
  const published = await context.lastPosition(partition);
  const done = await context.donePosition(partition);
  if (done !== undefined && (published === undefined || done >= published)) {
    return { position: done, isDone: true };
  }
  return published === undefined ? undefined : { position: published, isDone: false };
}

function partitionOf(stream: string, life: number): string {
  return life === 0 ? stream : `${stream}@${life}`;
}
