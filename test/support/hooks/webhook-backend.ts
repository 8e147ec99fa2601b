// Takes webhooks as a backend does, with the npm package standardwebhooks, and keeps what it was told.
import { Webhook } from "standardwebhooks";
import { until } from "../wait";

interface ToldEvent {
  readonly id: string;
  readonly type: string;
  readonly timestamp: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into events of any type
  readonly data: any;
}

interface TakenRequest {
  readonly id: string;
  readonly signature: string;
  readonly body: string;
}

export class WebhookBackend implements AsyncDisposable {
  readonly secret: string;
  /** Every request that the library took, whatever was answered, in their order. */
  readonly requests: TakenRequest[] = [];
  /** Of the requests that were answered with 2xx. */
  readonly events: ToldEvent[] = [];
  /** Why the library did not take others. */
  readonly invalid: string[] = [];
  answer: (events: readonly ToldEvent[]) => Response | Promise<Response> = () => new Response();
  readonly #server: ReturnType<typeof Bun.serve>;

  constructor(secret = newSecret(), port = 0) {
    this.secret = secret;
    const webhook = new Webhook(secret);
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port,
      fetch: async (request) => {
        const body = await request.text();
        const headers = Object.fromEntries(request.headers);
        let events: ToldEvent[];
        try {
          ({ events } = webhook.verify(body, headers) as { events: ToldEvent[] });
        } catch (error) {
          this.invalid.push((error as Error).message);
          return new Response("", { status: 401 });
        }
        const { "webhook-id": id = "", "webhook-signature": signature = "" } = headers;
        this.requests.push({ id, signature, body });
        const response = await this.answer(events);
        if (response.ok) this.events.push(...events);
        return response;
      },
    });
  }

  get url(): string {
    return this.#server.url.href;
  }

  get host(): string {
    return this.#server.url.host;
  }

  /** The settings of a relay that tells it; `wanted` is what stands behind its URL. */
  env(wanted = ""): Record<string, string> {
    return {
      BATON_WEBHOOKS: `${this.url} ${wanted}`,
      BATON_WEBHOOK_SECRETS: this.secret,
      BATON_WEBHOOKS_PRIVATE: "1",
    };
  }

  /** Waits for so many events of this type. */
  async told(count: number, type: string, timeoutMs?: number): Promise<ToldEvent[]> {
    const found = () => this.events.filter((event) => event.type === type);
    await until(`${count} ${type}`, () => found().length >= count, timeoutMs);
    return found();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}

export function newSecret(): string {
  return `whsec_${crypto.getRandomValues(new Uint8Array(32)).toBase64()}`;
}
