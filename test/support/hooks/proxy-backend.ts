// A backend that is asked as Centrifugo's proxy asks, and answers as its documentation shows. It keeps what it was asked.
import { until } from "../wait";

/** What a question had. */
interface AskedQuestion {
  readonly path: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of any shape
  readonly body: any;
  /** As it came. */
  readonly text: string;
  readonly headers: Headers;
}

/** How long a backend may take to answer, and a question may wait: a busy machine is no slow backend. */
export const PATIENT = { BATON_PROXY_TIMEOUT_MS: "30000", BATON_PROXY_WAIT_MS: "60000" };

/** A value is sent as JSON with status 200. */
type Answer = (question: AskedQuestion) => unknown;

export class ProxyBackend implements AsyncDisposable {
  readonly asked: AskedQuestion[] = [];
  readonly #server: ReturnType<typeof Bun.serve>;
  readonly #answers = new Map<string, Answer>();
  readonly #held: (() => void)[] = [];
  #isHolding = false;
  /** How many questions were open at once, at most. */
  mostAtOnce = 0;
  #open = 0;

  constructor() {
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 60,
      fetch: async (request) => {
        const { pathname: path } = new URL(request.url);
        const text = await request.text();
        const question = { path, text, body: JSON.parse(text), headers: request.headers };
        this.asked.push(question);
        this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#open);
        if (this.#isHolding) await new Promise<void>((resolve) => this.#held.push(resolve));
        this.#open--;
        const answer = await (this.#answers.get(path) ?? usual)(question);
        return answer instanceof Response ? answer : Response.json(answer);
      },
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  /** The settings with which a relay asks it everything. */
  get settings() {
    return {
      ...PATIENT,
      BATON_PROXY_CONNECT: `${this.url}/connect`,
      BATON_PROXY_REFRESH: `${this.url}/refresh`,
      BATON_PROXY_SUBSCRIBE: `${this.url}/subscribe`,
      BATON_PROXY_SUB_REFRESH: `${this.url}/sub_refresh`,
      BATON_PROXY_PUBLISH: `${this.url}/publish`,
      BATON_PROXY_RPC: `${this.url}/rpc`,
    };
  }

  /** From now on it answers so at this path. */
  answer(path: string, answer: Answer): void {
    this.#answers.set(path, answer);
  }

  /** Questions wait until `release`. */
  hold(): void {
    this.#isHolding = true;
  }

  release(): void {
    this.#isHolding = false;
    for (const go of this.#held.splice(0)) go();
  }

  /** The questions at a path, once there are so many. */
  async questions(path: string, count = 1): Promise<readonly AskedQuestion[]> {
    const found = () => this.asked.filter((one) => one.path === path);
    await until(`${count} questions at ${path}`, () => found().length >= count);
    return found();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
    await this.#server.stop(true);
  }
}

/** What the simplest backend of the documentation answers: everybody is the user 56, and may do everything. */
function usual({ path }: AskedQuestion): unknown {
  return { result: path === "/connect" ? { user: "56" } : {} };
}
