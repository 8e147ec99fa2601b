// Clients of the official Python SDK, in a process of Python: the events that they report, and calls of the SDK.
import { join } from "node:path";
import { PythonProgram } from "../machine/python-program";

/** An event as test/python/clients.py prints it. */
interface PythonEvent {
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
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape
  readonly value?: any;
  readonly info?: { readonly user: string; readonly client: string; readonly info: unknown };
}

interface PythonClientsOptions {
  /** The address of the relay, http://…, or of a proxy in front of it. */
  readonly url: string;
  readonly topics: readonly string[];
  /** `fresh` is the token that a client gets when it requests a new one. */
  readonly clients: readonly { readonly token?: string; readonly fresh?: string }[];
}

export class PythonClients implements AsyncDisposable {
  readonly #program: PythonProgram;
  /** All events in order, without the answers to calls. */
  readonly events: PythonEvent[] = [];
  readonly #answers: PythonEvent[] = [];

  constructor({ url, topics, clients }: PythonClientsOptions) {
    const address = `${url.replace("http:", "ws:")}/connection/websocket`;
    const options = JSON.stringify({ address, topics, clients });
    const path = join(import.meta.dir, "../../python/clients.py");
    this.#program = new PythonProgram([path, options], (line) => {
      const event = JSON.parse(line) as PythonEvent;
      if (event.event === "answer") this.#answers.push(event);
      else this.events.push(event);
    });
  }

  /** All events of this kind that a client has reported. */
  of(client: number, event: string): PythonEvent[] {
    return this.events.filter((one) => one.client === client && one.event === event);
  }

  /** Resolves with the first event of this kind that fits, after the first `from` events of all kinds. */
  async next(event: string, fits: (event: PythonEvent) => boolean = () => true, from = 0) {
    const find = () => this.events.slice(from).find((one) => one.event === event && fits(one));
    await this.until(`the event ${event} of the Python SDK`, () => find() !== undefined);
    return find() as PythonEvent;
  }

  until(what: string, isMet: () => boolean, deadlineMs?: number): Promise<void> {
    return this.#program.until(what, isMet, deadlineMs);
  }

  /** Calls the SDK and resolves with its answer: `value`, or the `code` of an error. One call at a time. */
  async call(client: number, call: string, fields: object = {}): Promise<PythonEvent> {
    this.#program.write(JSON.stringify({ client, call, ...fields }));
    await this.until(`the answer to ${call}`, () => this.#answers.length > 0, 10_000);
    return this.#answers.shift() as PythonEvent;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#program[Symbol.asyncDispose]();
  }
}
