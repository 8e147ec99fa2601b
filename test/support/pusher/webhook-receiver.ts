// Takes webhooks as a backend does, with the library for Node, and keeps their events.
import Pusher from "pusher";
import { APP } from "./app";

/** What a library verifies. */
export interface SignedWebhook {
  readonly signature: string;
  readonly body: string;
}

export class WebhookReceiver implements AsyncDisposable {
  readonly events: Record<string, string>[] = [];
  /** The last request that the library took, and those that it did not take. */
  last: SignedWebhook | undefined;
  readonly invalid: string[] = [];
  readonly #server: ReturnType<typeof Bun.serve>;

  constructor() {
    const { id: appId, key, secret } = APP;
    const pusher = new Pusher({ appId, key, secret, host: "127.0.0.1" });
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: async (request) => {
        const headers = Object.fromEntries(request.headers);
        const rawBody = await request.text();
        const webhook = pusher.webhook({ headers, rawBody });
        if (webhook.isValid()) {
          this.events.push(...(webhook.getEvents() as unknown as Record<string, string>[]));
          this.last = { signature: headers["x-pusher-signature"] ?? "", body: rawBody };
        } else this.invalid.push(rawBody);
        return new Response();
      },
    });
  }

  /** The settings of a relay that tells it. */
  get env(): Record<string, string> {
    return { BATON_PUSHER_WEBHOOKS: this.#server.url.href, BATON_WEBHOOKS_PRIVATE: "1" };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}
