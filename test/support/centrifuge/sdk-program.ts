// Clients of an official SDK of another language, in a process of their own: the events that they report, and calls of the SDK.
// test/python/clients.py, test/go/centrifuge and test/java take the same argument and calls, and print the same events.
import { join } from "node:path";
import { LineProgram } from "../machine/line-program";
import { pythonCommand } from "../machine/python-program";

/** An event as each of the programs prints it. */
interface SdkEvent {
  readonly client: number;
  readonly event: string;
  readonly topic?: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into payloads of any shape
  readonly data?: any;
  readonly offset?: number;
  readonly code?: number;
  readonly id?: string;
  readonly wasRecovering?: boolean;
  readonly recovered?: boolean;
  /** Of an error. */
  readonly message?: string;
  readonly tags?: Readonly<Record<string, string>> | null;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape
  readonly value?: any;
  readonly info?: {
    readonly user: string;
    readonly client: string;
    readonly info: unknown;
    readonly topicInfo: unknown;
  };
}

export interface SdkClientsOptions {
  /** The address of the relay, http://…, or of a proxy in front of it. */
  readonly url: string;
  readonly topics: readonly string[];
  readonly clients: readonly SdkClientOptions[];
  readonly form?: "json" | "protobuf";
  /** Whether the topics are subscribed to with deltas. */
  readonly delta?: boolean;
}

interface SdkClientOptions {
  readonly token?: string;
  /** The token that it gets when it requests a new one. */
  readonly fresh?: string;
  /** The tokens for a topic, in the order in which it gets them; the last one again and again. */
  readonly topicTokens?: Readonly<Record<string, readonly string[]>>;
}

export class SdkProgram implements AsyncDisposable {
  readonly #program: LineProgram;
  /** All events in order, without the answers to calls. */
  readonly events: SdkEvent[] = [];
  readonly #answers: SdkEvent[] = [];

  /** Runs a command, which is given the options as JSON. */
  constructor(
    command: readonly string[],
    { url, topics, clients, form = "json", delta = false }: SdkClientsOptions,
  ) {
    const address = `${url.replace("http:", "ws:")}/connection/websocket`;
    const options = JSON.stringify({ address, topics, clients, form, delta });
    this.#program = new LineProgram([...command, options], (line) => {
      const event = JSON.parse(line) as SdkEvent;
      if (event.event === "answer") this.#answers.push(event);
      else this.events.push(event);
    });
  }

  /** All events of this kind that a client has reported. */
  of(client: number, event: string): SdkEvent[] {
    return this.events.filter((one) => one.client === client && one.event === event);
  }

  /** Resolves with the first event of this kind that fits, after the first `from` events of all kinds. */
  async next(event: string, fits: (event: SdkEvent) => boolean = () => true, from = 0) {
    const find = () => this.events.slice(from).find((one) => one.event === event && fits(one));
    await this.until(`the event ${event} of the SDK`, () => find() !== undefined);
    return find() as SdkEvent;
  }

  until(what: string, isMet: () => boolean | Promise<boolean>): Promise<void> {
    return this.#program.until(what, isMet);
  }

  /** Calls the SDK and resolves with its answer: `value`, or the `code` of an error. One call at a time. */
  async call(client: number, call: string, fields: object = {}): Promise<SdkEvent> {
    this.#program.write(JSON.stringify({ client, call, ...fields }));
    await this.until(`the answer to ${call}`, () => this.#answers.length > 0);
    return this.#answers.shift() as SdkEvent;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#program[Symbol.asyncDispose]();
  }
}

/** Clients of the Python SDK. */
export class PythonClients extends SdkProgram {
  constructor(options: SdkClientsOptions) {
    super(pythonCommand([join(import.meta.dir, "../../python/clients.py")]), options);
  }
}
