// A client of baton/client whose calls are recorded, so that tests can wait for them.
import {
  type Client,
  connect,
  type Position,
  type Reason,
  type State,
} from "../../../src/client/client";
import { Inbox } from "../inbox";
import { until } from "../wait";

export class RecordedClient implements Disposable {
  readonly client: Client;
  /** How often it has asked for an address. */
  asked = 0;
  /** Each state, with the code that it came with, such as "connecting 1006". */
  readonly states: string[] = [];
  /** The topics of which messages were lost. */
  readonly lost: string[] = [];
  /** What has come, such as `news: "hi"`. */
  readonly messages = new Inbox<string>("a message");
  onState: ((state: State, why?: Reason) => void) | undefined;

  constructor(address: () => string | Promise<string>) {
    const counted = () => {
      this.asked++;
      return address();
    };
    this.client = connect(counted, {
      onState: (state, why) => {
        this.states.push(why === undefined ? state : `${state} ${why.code}`);
        this.onState?.(state, why);
      },
    });
  }

  /** Subscribes, and records what comes. */
  follow(topic: string, since?: Position): () => void {
    const record = (data: unknown) => this.messages.add(`${topic}: ${JSON.stringify(data)}`);
    return this.client.on(topic, record, { since, onLost: (name) => this.lost.push(name) });
  }

  take(count: number): Promise<string[]> {
    return this.messages.take(count);
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
