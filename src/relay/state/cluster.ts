// What nodes tell and ask each other, over whatever way the engine has between them.
import type { Engine } from "../contracts/engine";

/** How long answers may take; after that those that have come are all there are. */
const PATIENCE_MS = 1_000;

export interface ClusterOptions {
  readonly engine: Engine;
  /** This node's own name. */
  readonly node: string;
  /** Calls back after so many ms, and gives the way to call that off. */
  readonly after: (ms: number, work: () => void) => () => void;
}

/** What a node does when another one tells it, or answers when it asks. */
export type Handler = (body: never) => unknown;

interface Message {
  readonly kind: string;
  readonly body: unknown;
  /** Set on questions: who asks, and under which number. */
  readonly from?: string;
  readonly number?: number;
}

interface Question {
  readonly answers: unknown[];
  /** How many are still to come; unknown until the engine has said how many nodes there are. */
  missing: number;
  done: () => void;
}

const ANSWER = "answer";

export class Cluster {
  readonly #options: ClusterOptions;
  readonly #hearers = new Map<string, Handler>();
  readonly #questions = new Map<number, Question>();
  #number = 0;

  constructor(options: ClusterOptions) {
    this.#options = options;
  }

  /** What this node does with messages of this kind. */
  handle<Body>(kind: string, hear: (body: Body) => unknown): void {
    this.#hearers.set(kind, hear as Handler);
  }

  /** To every other node; whether it arrives, nobody knows. */
  notify(kind: string, body: unknown): void {
    this.#send({ kind, body }).catch(() => {});
  }

  /** Asks every other node; those that are silent are left out. Rejects with EngineUnavailable. */
  async request<Answer>(kind: string, body: unknown): Promise<readonly Answer[]> {
    const number = ++this.#number;
    const { node, after } = this.#options;
    const all = Promise.withResolvers<void>();
    const question: Question = {
      answers: [],
      missing: Number.POSITIVE_INFINITY,
      done: all.resolve,
    };
    this.#questions.set(number, question);
    const giveUp = after(PATIENCE_MS, all.resolve);
    try {
      const others = await this.#send({ kind, body, from: node, number });
      question.missing = others - question.answers.length;
      if (question.missing > 0) await all.promise;
      return question.answers as Answer[];
    } finally {
      giveUp();
      this.#questions.delete(number);
    }
  }

  /** A message of another node. Anything that is none is passed over. */
  receive(text: string): void {
    const { kind, body, from, number } = JSON.parse(text) as Message;
    if (kind === ANSWER) {
      if (from !== this.#options.node) return;
      const question = this.#questions.get(number ?? 0);
      if (question === undefined) return;
      question.answers.push(body);
      question.missing--;
      if (question.missing <= 0) question.done();
      return;
    }
    const answer = this.#hearers.get(kind)?.(body as never);
    if (from === undefined || number === undefined) return;
    const reply = (value: unknown) =>
      void this.#send({ kind: ANSWER, body: value, from, number }, from).catch(() => {});
    if (answer instanceof Promise) answer.then(reply, () => reply(undefined));
    else reply(answer);
  }

  async #send(message: Message, to?: string): Promise<number> {
    return this.#options.engine.sendToNodes(JSON.stringify(message), to);
  }
}
