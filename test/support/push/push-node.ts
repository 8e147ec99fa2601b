// What sends pushes on one node, with an engine in memory, a clock that only the test moves, and a push service that is a function.
import { Attempts } from "../../../src/edge/push/attempts";
import { Courier } from "../../../src/edge/push/courier";
import { DevicePushes } from "../../../src/edge/push/device-pushes";
import { DeviceCipher } from "../../../src/edge/push/devices/device-cipher";
import { Devices } from "../../../src/edge/push/devices/devices";
import { type Fate, Fates } from "../../../src/edge/push/fates";
import { type PendingPush, PushOutbox } from "../../../src/edge/push/outbox";
import { Retries } from "../../../src/edge/push/retries";
import { Circuits } from "../../../src/edge/push/services/circuits";
import type { PushMessage, PushResult } from "../../../src/edge/push/services/sender";
import { Turns } from "../../../src/edge/push/services/turns";
import { createLog } from "../../../src/log";
import type { Engine } from "../../../src/relay/contracts/engine";
import { Refusal } from "../../../src/relay/contracts/errors";
import type { PushContent } from "../../../src/relay/contracts/publication";
import { TopicRules } from "../../../src/relay/contracts/topic-rules";
import type { ReceiptAnswer } from "../../../src/relay/publishing/receipts";
import { Leadership } from "../../../src/relay/state/leadership";
import { until } from "../wait";

/** Milliseconds of Unix time, for all nodes of a test. */
export interface Clock {
  now: number;
}

const ACCEPTED: PushResult = { kind: "accepted", status: 201 };

/** How long a publication waits for a connection. */
export const AFTER_MS = 10_000;

interface PushNodeOptions {
  readonly engine: Pick<Engine, "records" | "queues" | "groups">;
  readonly clock: Clock;
  readonly name?: string;
  readonly secrets?: readonly string[];
  /** Whether it leads whoever else does, as for a moment after a lost connection. */
  readonly leadsAlways?: true;
}

export class PushNode implements AsyncDisposable {
  readonly devices: Devices;
  readonly fates: Fates;
  readonly courier: Courier;
  readonly outbox: PushOutbox;
  /** What became of each publication as far as connections know, by its topic; else it was missed. */
  readonly receipts = new Map<string, ReceiptAnswer>();
  /** The requests that were sent: device and title. */
  readonly sent: string[] = [];
  readonly messages: PushMessage[] = [];
  /** What a backend was told: titles, and what became of them for each device. */
  readonly told: string[] = [];
  #looks = 0;
  #isDead = false;
  answer: (device: string) => PushResult | Promise<PushResult> = () => ACCEPTED;

  constructor({
    engine,
    clock,
    name = "node",
    secrets = ["s".repeat(32)],
    leadsAlways,
  }: PushNodeOptions) {
    const { records, queues } = engine;
    const now = () => clock.now;
    const log = createLog("silent");
    const cipher = new DeviceCipher(secrets);
    const common = { records, cipher, now, log };
    const addresses = "any";
    this.devices = new Devices({ ...common, userDevicesMax: 3, deviceTtlMs: 1e9, addresses });
    this.fates = new Fates(records, now);
    const rules = new TopicRules({ historySize: 0, historyTtlMs: 0 });
    this.outbox = new PushOutbox({
      queues,
      cipher,
      rules,
      pushesMax: 100,
      carries: "publication",
      now,
    });
    const leading =
      leadsAlways === true ? undefined : new Leadership(engine.groups, name, "pushes");
    const sender = this.#sender();
    const random = () => 0;
    const turns = new Turns(new Circuits({ now, random, log }));
    const devices = this.devices;
    const fates = this.fates;
    const pushes = new DevicePushes({ records, devices, sender, turns, now });
    const retries = new Retries({ records, cipher, max: 100, now, random });
    const attempts = new Attempts({
      pushes,
      retries,
      fates,
      now,
      tellUndelivered: (pending, fate) => this.#tell(pending, fate),
    });
    this.courier = new Courier({
      ...common,
      queues,
      leadership: this.#leadership(leading),
      receipts: {
        ask: async (questions) =>
          questions.map(({ topic }) => this.receipts.get(topic) ?? "missed"),
      },
      devices,
      pushes,
      attempts,
      retries,
      fates,
      pushAfterMs: AFTER_MS,
      tickMs: 2,
      pongMs: 1_000,
    });
  }

  #tell(pending: PendingPush, fate: Fate): undefined {
    const states = fate.devices.map(({ state }) => state).toSorted();
    this.told.push([JSON.parse(pending.payload).title, ...states].join(" "));
  }

  /** Undefined: it always leads. */
  #leadership(leading: Leadership | undefined) {
    return {
      check: async () => {
        this.#looks++;
        if (this.#isDead) return false;
        return leading === undefined || leading.check();
      },
      resign: () => leading?.resign(),
    };
  }

  #sender() {
    return {
      send: async ({ endpoint }: { endpoint: string }, message: PushMessage) => {
        const device = endpoint.slice(endpoint.lastIndexOf("/") + 1);
        this.sent.push(`${device} ${JSON.parse(message.payload).title}`);
        this.messages.push(message);
        return this.answer(device);
      },
    };
  }

  /** Publishes to a user; resolves with the id of the push. */
  async publish(user: string, content: PushContent, key?: string, topic = "chat"): Promise<string> {
    const prepared = await this.outbox.prepare({ topic, data: "", user }, content, key);
    if (prepared === undefined || prepared instanceof Refusal) throw new Error("not prepared");
    const refusal = await prepared.keep({ delivered: 0 });
    if (refusal !== undefined) throw new Error(refusal.message);
    return prepared.id;
  }

  /** What became of a push; its topic keeps no history. */
  fateOf(id: string) {
    return this.fates.of({ id, topic: "chat", position: undefined });
  }

  /** It does nothing more, as after kill -9; what it has sent is never answered. */
  kill(): void {
    this.#isDead = true;
    this.answer = () => new Promise(() => {});
  }

  /** Resolves when it has looked for what is due, as the clock is now. */
  async ticked(): Promise<void> {
    const before = this.#looks;
    await until("a look at what is due", () => this.#looks >= before + 2);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.courier.stop();
  }
}
