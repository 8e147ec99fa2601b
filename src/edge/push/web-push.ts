// Web Push, wired together: the devices of users, the pushes that wait, and what sends them. Off without VAPID keys.
import type { Log } from "../../log";
import type { Engine } from "../../relay/contracts/engine";
import type { Pushes } from "../../relay/contracts/options";
import type { TopicRules } from "../../relay/contracts/topic-rules";
import type { Receipts } from "../../relay/publishing/receipts";
import { Leadership } from "../../relay/state/leadership";
import type { Settings } from "../../settings/definitions";
import { Courier } from "./courier";
import { DevicePushes } from "./device-pushes";
import { DeviceCipher } from "./devices/device-cipher";
import { Devices } from "./devices/devices";
import { Fates } from "./fates";
import { PushOutbox } from "./outbox";
import { Retries } from "./retries";
import { PushSender } from "./sender";

/** How often what is due is looked for: it goes out at most so much later. */
const TICK_MS_MIN = 20;
const TICK_MS_MAX = 1_000;

interface WebPushParts {
  readonly settings: Settings;
  readonly engine: Engine;
  readonly rules: TopicRules;
  /** The name of this node. */
  readonly node: string;
  readonly log: Log;
}

export class WebPush {
  readonly #parts: WebPushParts;
  readonly #cipher: DeviceCipher;
  readonly devices: Devices;
  readonly outbox: Pushes;
  readonly fates: Fates;
  #courier: Courier | undefined;

  /** Undefined where the settings have no keys. */
  static of(parts: WebPushParts): WebPush | undefined {
    return parts.settings.vapidPublicKey === "" ? undefined : new WebPush(parts);
  }

  private constructor(parts: WebPushParts) {
    const { settings, engine, rules, log } = parts;
    this.#parts = parts;
    const { records, queues } = engine;
    const cipher = new DeviceCipher(settings.devicesKeys);
    this.#cipher = cipher;
    const addresses = settings.webhooksPrivate ? "any" : "public";
    this.devices = new Devices({ ...settings, records, cipher, addresses, now: Date.now, log });
    this.outbox = new PushOutbox({ ...settings, queues, cipher, rules, now: Date.now });
    this.fates = new Fates(records);
  }

  /** Begins to send what is due; to be called when the engine has started. */
  start(receipts: Receipts): void {
    const { settings, engine, node, log } = this.#parts;
    const { records, queues } = engine;
    const { devices, fates } = this;
    const cipher = this.#cipher;
    const now = Date.now;
    const sender = new PushSender({
      vapid: {
        subject: settings.vapidSubject,
        publicKey: settings.vapidPublicKey,
        privateKey: settings.vapidPrivateKey,
      },
      addresses: settings.webhooksPrivate ? "any" : "public",
      now,
    });
    const max = settings.pushesMax;
    this.#courier = new Courier({
      ...settings,
      queues,
      records,
      leadership: new Leadership(engine.groups, node, "pushes"),
      receipts,
      cipher,
      devices,
      pushes: new DevicePushes({ records, devices, sender, now }),
      retries: new Retries({ records, cipher, max, now, random: Math.random }),
      fates,
      now,
      log,
      tickMs: Math.min(TICK_MS_MAX, Math.max(TICK_MS_MIN, settings.pushAfterMs / 4)),
    });
  }

  /** What the metrics say of it. */
  get figures(): { readonly waiting: number; readonly outcomes: Readonly<Record<string, number>> } {
    return this.#courier ?? { waiting: 0, outcomes: {} };
  }

  async stop(): Promise<void> {
    await this.#courier?.stop();
  }
}
