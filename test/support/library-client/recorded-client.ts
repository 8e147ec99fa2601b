// A client of baton/client whose calls are recorded, so that tests can wait for them.
import {
  type Client,
  connect,
  type Position,
  type Reason,
  type State,
} from "../../../src/client/client";
import { until, within } from "../wait";

export class RecordedClient implements Disposable {
  readonly client: Client;
  /** Each state, with the code that it came with, such as "connecting 1006". */
  readonly states: string[] = [];
  /** The topics of which messages were lost. */
  readonly lost: string[] = [];
  readonly #messages: string[] = [];
  readonly #waiting: (() => void)[] = [];
  onState: ((state: State, why?: Reason) => void) | undefined;

  constructor(address: () => string | Promise<string>) {
    this.client = connect(address, {
      onState: (state, why) => {
        this.states.push(why === undefined ? state : `${state} ${why.code}`);
        this.onState?.(state, why);
      },
    });
  }

  /** Subscribes, and records what comes. */
  follow(topic: string, since?: Position): () => void {
    const record = (data: unknown) => {
      this.#messages.push(`${topic}: ${JSON.stringify(data)}`);
      this.#waiting.shift()?.();
    };
    return this.client.on(topic, record, { since, onLost: (name) => this.lost.push(name) });
  }

  /** The next messages, such as `news: "hi"`. */
  async take(count: number): Promise<string[]> {
    while (this.#messages.length < count) {
      await within("a message", new Promise<void>((resolve) => this.#waiting.push(resolve)));
    }
    return this.#messages.splice(0, count);
  }

  /** What has come and was not taken. */
  get untaken(): readonly string[] {
    return this.#messages;
  }

  untilOpen(): Promise<void> {
    return until("the client to be open", () => this.client.state === "open");
  }

  untilState(last: string): Promise<void> {
    return until(`the state ${last}`, () => this.states.at(-1) === last);
  }

  [Symbol.dispose](): void {
    this.client.close();
  }
}
