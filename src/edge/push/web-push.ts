// Web Push, wired together: the devices of users, the pushes that wait, what sends them, and what tells a backend of those that nobody
// got. Off without VAPID keys, unless a backend wants to be told.
import type { Log } from "../../log";
import type { Engine } from "../../relay/contracts/engine";
import type { Pushes, Witness } from "../../relay/contracts/options";
import type { TopicRules } from "../../relay/contracts/topic-rules";
import type { Receipts } from "../../relay/publishing/receipts";
import { Leadership } from "../../relay/state/leadership";
import type { Settings } from "../../settings/definitions";
import { Attempts } from "./attempts";
import { contentOf } from "./content";
import { Courier } from "./courier";
import { DevicePushes } from "./device-pushes";
import { DeviceCipher } from "./devices/device-cipher";
import { Devices } from "./devices/devices";
import { type Fate, Fates } from "./fates";
import { type PendingPush, PushOutbox } from "./outbox";
import { Retries } from "./retries";
import { Circuits } from "./services/circuits";
import { PushSender } from "./services/sender";
import { Turns } from "./services/turns";

/** How often what is due is looked for: it goes out at most so much later. */
const TICK_MS_MIN = 20;
const TICK_MS_MAX = 1_000;

interface WebPushParts {
  readonly settings: Settings;
  readonly engine: Engine;
  readonly rules: TopicRules;
  /** Who is told what happens. */
  readonly witness: Witness | undefined;
  /** The name of this node. */
  readonly node: string;
  readonly log: Log;
}

export class WebPush {
  readonly #parts: WebPushParts;
  readonly #cipher: DeviceCipher;
  readonly #tellsUndelivered: boolean;
  /** Undefined without VAPID keys. */
  readonly devices: Devices | undefined;
  readonly outbox: Pushes;
  readonly fates: Fates;
  #attempts: Attempts | undefined;
  #courier: Courier | undefined;

  /** Undefined where publications have no other way than connections. */
  static of(parts: WebPushParts): WebPush | undefined {
    const { settings, witness } = parts;
    const isOff = settings.vapidPublicKey === "" && witness?.wants("undelivered") !== true;
    return isOff ? undefined : new WebPush(parts);
  }

  private constructor(parts: WebPushParts) {
    const { settings, engine, rules, witness, log } = parts;
    this.#parts = parts;
    const { records, queues } = engine;
    const cipher = new DeviceCipher(settings.devicesKeys);
    this.#cipher = cipher;
    this.#tellsUndelivered = witness?.wants("undelivered") === true;
    const common = { ...settings, cipher, now: Date.now };
    const addresses = settings.webhooksPrivate ? "any" : "public";
    this.devices =
      settings.vapidPublicKey === ""
        ? undefined
        : new Devices({ ...common, records, addresses, log });
    const carries = this.#tellsUndelivered ? "publication" : "push";
    this.outbox = new PushOutbox({ ...common, queues, rules, carries });
    this.fates = new Fates(records, () => performance.now());
  }

  /** Begins to send what is due; to be called when the engine has started. */
  start(receipts: Receipts): void {
    const { settings, engine, node, log } = this.#parts;
    const { records, queues } = engine;
    const { devices, fates } = this;
    const cipher = this.#cipher;
    const now = Date.now;
    const random = Math.random;
    const max = settings.pushesMax;
    // A clock that is set back must not make a pause longer.
    const circuits = new Circuits({ now: () => performance.now(), random, log });
    const turns = new Turns(circuits);
    const pushes = new DevicePushes({ records, devices, sender: senderOf(settings), turns, now });
    const retries = new Retries({ records, cipher, max, now, random });
    const tellUndelivered = this.#tellsUndelivered
      ? (pending: PendingPush, fate: Fate) => this.#parts.witness?.keep(undelivered(pending, fate))
      : undefined;
    const attempts = new Attempts({ pushes, retries, fates, tellUndelivered, now });
    this.#attempts = attempts;
    this.#courier = new Courier({
      ...settings,
      queues,
      records,
      leadership: new Leadership(engine.groups, node, "pushes"),
      receipts,
      cipher,
      devices,
      pushes,
      attempts,
      retries,
      fates,
      now,
      log,
      tickMs: Math.min(TICK_MS_MAX, Math.max(TICK_MS_MIN, settings.pushAfterMs / 4)),
    });
  }

  /** What the metrics say of it. */
  get figures(): { readonly waiting: number; readonly outcomes: Readonly<Record<string, number>> } {
    return {
      waiting: this.#courier?.waiting ?? 0,
      outcomes: this.#attempts?.outcomes ?? {},
    };
  }

  async stop(): Promise<void> {
    await this.#courier?.stop();
  }
}

function senderOf(settings: Settings): PushSender {
  return new PushSender({
    vapid: {
      subject: settings.vapidSubject,
      publicKey: settings.vapidPublicKey,
      privateKey: settings.vapidPrivateKey,
    },
    addresses: settings.webhooksPrivate ? "any" : "public",
    now: Date.now,
  });
}

/** What a backend is told of a publication that nobody got. */
function undelivered(pending: PendingPush, { devices }: Fate) {
  const { id, topic, user, position, publication = { data: "" } } = pending;
  return {
    kind: "undelivered",
    key: id,
    publication: { topic, user, ...publication, ...position },
    push: contentOf(pending),
    devices: devices.map(({ device, state }) => ({ id: device, state })),
  } as const;
}
