// Clients of the official Python SDK: what they tell, and what they are asked to do.
import { join } from "node:path";
import { PythonProgram } from "../machine/python-program";

/** What a client tells, as test/python/clients.py prints it. */
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
  /** Of the relay, http://…, or of a proxy before it. */
  readonly url: string;
  readonly topics: readonly string[];
  /** `fresh` is the token that a client gets when it asks for a new one. */
  readonly clients: readonly { readonly token?: string; readonly fresh?: string }[];
}

export class PythonClients implements AsyncDisposable {
  readonly #program: PythonProgram;
  /** All that the clients told, in order; answers to calls aside. */
  readonly events: PythonEvent[] = [];
  readonly #answers: PythonEvent[] = [];

  constructor({ url, topics, clients }: PythonClientsOptions) {
    const address = `${url.replace("http:", "ws:")}/connection/websocket`;
    const given = JSON.stringify({ address, topics, clients });
    const path = join(import.meta.dir, "../../python/clients.py");
    this.#program = new PythonProgram([path, given], (line) => {
      const event = JSON.parse(line) as PythonEvent;
      if (event.event === "answer") this.#answers.push(event);
      else this.events.push(event);
    });
  }

  of(client: number, event: string): PythonEvent[] {
    return this.events.filter((one) => one.client === client && one.event === event);
  }

  /** Resolves with the first event of this kind that fits, the first `from` of all kinds aside. */
  async next(event: string, fits: (event: PythonEvent) => boolean = () => true, from = 0) {
    const find = () => this.events.slice(from).find((one) => one.event === event && fits(one));
    await this.until(`the event ${event} of the Python SDK`, () => find() !== undefined);
    return find() as PythonEvent;
  }

  until(what: string, holds: () => boolean, deadlineMs?: number): Promise<void> {
    return this.#program.until(what, holds, deadlineMs);
  }

  /** Calls the SDK and resolves with its answer: `value`, or the `code` of an error. One after the other. */
  async call(client: number, call: string, fields: object = {}): Promise<PythonEvent> {
    this.#program.write(JSON.stringify({ client, call, ...fields }));
    await this.until(`the answer to ${call}`, () => this.#answers.length > 0, 10_000);
    return this.#answers.shift() as PythonEvent;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#program[Symbol.asyncDispose]();
  }
}
