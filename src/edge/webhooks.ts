// Who is told by webhooks what happens in the relay, as the settings say it.
import type { Log } from "../log";
import type { Engine } from "../relay/contracts/engine";
import type { Witness } from "../relay/contracts/options";
import type { Settings } from "../settings/definitions";
import { Outbox } from "./hooks/outbox";
import { StandardReceiver } from "./hooks/standard-webhooks";
import type { PusherApps } from "./pusher/apps";
import type { PusherFormat } from "./pusher/names";
import { PusherReceiver } from "./pusher/webhooks";

/** How long Baton's own webhooks are tried again. */
const AGE_MAX_MS = 86_400_000;

interface WebhooksParts {
  readonly engine: Engine;
  /** This node's name. */
  readonly node: string;
  readonly apps: PusherApps;
  readonly format: PusherFormat;
  readonly log: Log;
}

export class Webhooks {
  readonly #standard: readonly StandardReceiver[];
  readonly #outbox: Outbox;

  constructor(settings: Settings, { engine, node, apps, format, log }: WebhooksParts) {
    this.#standard = settings.webhookReceivers.map(
      (receiver) => new StandardReceiver({ ...receiver, ageMaxMs: AGE_MAX_MS }),
    );
    const events = settings.pusherWebhookEvents;
    const pusher = settings.pusherWebhooks.map(
      (url) => new PusherReceiver({ url, events, apps, format }),
    );
    const addresses = settings.webhooksPrivate ? "any" : "public";
    const receivers = [...this.#standard, ...pusher];
    const waitingMax = settings.webhooksWaitingMax;
    this.#outbox = new Outbox({ engine, node, receivers, waitingMax, addresses, log });
  }

  /** What the relay tells; undefined where nobody is told. */
  get witness(): Witness | undefined {
    return this.#outbox.witness;
  }

  /** See Outbox. */
  get figures(): Outbox["figures"] {
    return this.#outbox.figures;
  }

  /** See Outbox. */
  get lines(): Outbox["lines"] {
    return this.#outbox.lines;
  }

  /** From now on requests are signed with the keys of these settings. */
  renewKeys({ webhookReceivers }: Pick<Settings, "webhookReceivers">): void {
    for (const receiver of this.#standard) {
      const renewed = webhookReceivers.find(({ url }) => url === receiver.url);
      if (renewed !== undefined) receiver.keys = renewed.keys;
    }
  }

  /** Begins to send. The engine must have started. */
  start(): void {
    this.#outbox.start();
  }

  /** Tries once more to tell what waits. The engine must not be closed yet. */
  stop(): Promise<void> {
    return this.#outbox.stop();
  }
}
