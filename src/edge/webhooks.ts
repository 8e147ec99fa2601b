// Who is told by webhooks what happens in the relay, as the settings say it.
import type { Log } from "../log";
import type { Witness } from "../relay/contracts/options";
import type { Settings } from "../settings/definitions";
import { Outbox } from "./hooks/outbox";
import { StandardReceiver } from "./hooks/standard-webhooks";
import type { PusherApps } from "./pusher/apps";
import type { PusherFormat } from "./pusher/names";
import { PusherReceiver } from "./pusher/webhooks";

interface WebhooksParts {
  readonly apps: PusherApps;
  readonly format: PusherFormat;
  readonly log: Log;
}

export class Webhooks {
  readonly #standard: readonly StandardReceiver[];
  readonly #outbox: Outbox;

  constructor(settings: Settings, { apps, format, log }: WebhooksParts) {
    this.#standard = settings.webhookReceivers.map((receiver) => new StandardReceiver(receiver));
    const events = settings.pusherWebhookEvents;
    const pusher = settings.pusherWebhooks.map(
      (url) => new PusherReceiver({ url, events, apps, format }),
    );
    const addresses = settings.webhooksPrivate ? "any" : "public";
    this.#outbox = new Outbox({ receivers: [...this.#standard, ...pusher], addresses, log });
  }

  /** What the relay tells; undefined where nobody is told. */
  get witness(): Witness | undefined {
    return this.#outbox.witness;
  }

  /** Events that wait, that were taken, and that nobody will be told of. */
  get figures(): Outbox["figures"] {
    return this.#outbox.figures;
  }

  /** From now on requests are signed with the keys of these settings. */
  renewKeys({ webhookReceivers }: Pick<Settings, "webhookReceivers">): void {
    for (const receiver of this.#standard) {
      const renewed = webhookReceivers.find(({ url }) => url === receiver.url);
      if (renewed !== undefined) receiver.keys = renewed.keys;
    }
  }

  stop(): Promise<void> {
    return this.#outbox.stop();
  }
}
