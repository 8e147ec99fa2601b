// What nodes say to each other, over whatever the engine has between them: notifications, and requests with answers.
import type { RelayOptions } from "../contracts/options";

/** How long answers to a request may take; later ones are not waited for. */
const ANSWER_TIMEOUT_MS = 1_000;

/** What a node does with a message of another one; the result of a handler answers a request. */
type Handler = (body: never) => unknown;

interface Message {
  readonly kind: string;
  readonly body: unknown;
  /** Set in requests and answers: the node that asks, and its number for the request. */
  readonly from?: string;
  readonly number?: number;
}

interface PendingRequest {
  readonly answers: unknown[];
  /** How many answers are still to come; infinite until the engine has said how many nodes there are. */
  missing: number;
  resolve: () => void;
}

/** What the other nodes have answered, and how many of them have not. */
interface Survey<Answer> {
  readonly answers: readonly Answer[];
  readonly silent: number;
}

const ANSWER = "answer";

export class Cluster {
  readonly #options: Pick<RelayOptions, "engine" | "node" | "after">;
  readonly #handlers = new Map<string, Handler>();
  readonly #requests = new Map<number, PendingRequest>();
  #number = 0;

  constructor(options: Pick<RelayOptions, "engine" | "node" | "after">) {
    this.#options = options;
  }

  /** Says what this node does with messages of this kind. */
  handle<Body>(kind: string, handler: (body: Body) => unknown): void {
    this.#handlers.set(kind, handler as Handler);
  }

  /** Sends a notification to every other node. Whether it arrives is not known. */
  notify(kind: string, body: unknown): void {
    this.#send({ kind, body }).catch(() => {});
  }

  /** Asks every other node, and leaves out those that are silent. Rejects with EngineUnavailable. */
  async request<Answer>(kind: string, body: unknown): Promise<readonly Answer[]> {
    return (await this.#ask<Answer>(kind, body)).answers;
  }

  /** The same for what has an answer, and says how many nodes have none: one of an older version may not know the question. */
  async survey<Answer>(kind: string, body: unknown): Promise<Survey<Answer>> {
    const { answers, silent } = await this.#ask<Answer | null>(kind, body);
    const known = answers.filter((answer) => answer !== undefined && answer !== null);
    return { answers: known, silent: silent + answers.length - known.length };
  }

  async #ask<Answer>(kind: string, body: unknown): Promise<Survey<Answer>> {
    const number = ++this.#number;
    const { node, after } = this.#options;
    const all = Promise.withResolvers<void>();
    const request: PendingRequest = {
      answers: [],
      missing: Number.POSITIVE_INFINITY,
      resolve: all.resolve,
    };
    this.#requests.set(number, request);
    const cancelTimeout = after(ANSWER_TIMEOUT_MS, all.resolve);
    try {
      const others = await this.#send({ kind, body, from: node, number });
      request.missing = others - request.answers.length;
      if (request.missing > 0) await all.promise;
      const answers = request.answers as Answer[];
      return { answers, silent: Math.max(0, others - answers.length) };
    } finally {
      cancelTimeout();
      this.#requests.delete(number);
    }
  }

  /** Takes a message of another node; one of an unknown kind is ignored. */
  receive(text: string): void {
    const { kind, body, from, number } = JSON.parse(text) as Message;
    if (kind === ANSWER) {
      if (from !== this.#options.node) return;
      const request = this.#requests.get(number ?? 0);
      if (request === undefined) return;
      request.answers.push(body);
      request.missing--;
      if (request.missing <= 0) request.resolve();
      return;
    }
    const result = this.#handlers.get(kind)?.(body as never);
    if (from === undefined || number === undefined) return;
    const answer = (value: unknown) =>
      void this.#send({ kind: ANSWER, body: value, from, number }, from).catch(() => {});
    if (result instanceof Promise) result.then(answer, () => answer(undefined));
    else answer(result);
  }

  async #send(message: Message, to?: string): Promise<number> {
    return this.#options.engine.sendToNodes(JSON.stringify(message), to);
  }
}
