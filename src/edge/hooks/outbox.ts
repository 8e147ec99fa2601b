// What the receivers of webhooks are to be told: who is told of which event, and how many wait.
import type { Log } from "../../log";
import type { RelayEvent, Witness } from "../../relay/contracts/options";
import type { HookReceiver } from "./receiver";
import { HookSender } from "./sender";

interface OutboxOptions {
  readonly receivers: readonly HookReceiver[];
  /** Whether they may have addresses of this machine and of private networks. */
  readonly addresses: "any" | "public";
  readonly log: Log;
}

export class Outbox {
  readonly #senders: readonly HookSender[];

  constructor({ receivers, addresses, log }: OutboxOptions) {
    this.#senders = receivers.map((receiver) => new HookSender({ receiver, addresses, log }));
  }

  /** What the relay tells; undefined where nobody is told. */
  get witness(): Witness | undefined {
    if (this.#senders.length === 0) return undefined;
    return {
      wants: (kind) => this.#senders.some(({ receiver }) => receiver.wants(kind)),
      tell: (happened) => this.#tell(happened),
    };
  }

  /** Events that wait, that were taken, and that nobody will be told of. */
  get figures(): Readonly<Record<"waiting" | "sent" | "givenUp", number>> {
    const sums = { waiting: 0, sent: 0, givenUp: 0 };
    for (const { waiting, sent, givenUp } of this.#senders) {
      sums.waiting += waiting;
      sums.sent += sent;
      sums.givenUp += givenUp;
    }
    return sums;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#senders.map((sender) => sender.stop()));
  }

  #tell(happened: RelayEvent): void {
    for (const sender of this.#senders) {
      const text = sender.receiver.textOf(happened);
      if (text !== undefined) sender.push(text);
    }
  }
}
