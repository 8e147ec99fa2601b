// The webhooks of the Pusher protocol: what happens in the relay, as server libraries verify and read it. They are signed by the first
// app, because all apps have the same topics.
import { createHmac } from "node:crypto";
import type { Log } from "../../log";
import type { RelayEvent, Witness } from "../../relay/contracts/options";
import type { Settings } from "../../settings/definitions";
import { HookSender } from "./sender";

/** The topics of users, which no backend knows as channels. */
const PERSONAL = "#";

/** Only so named events of clients are events in this protocol. */
const CLIENT_EVENT = "client-";

const PRESENCE = "presence-";

/** Who signs. */
interface SigningApp {
  readonly key: string;
  readonly secret: string;
}

type WebhookSettings = Pick<Settings, "pusherWebhooks" | "pusherWebhookEvents" | "webhooksPrivate">;

export class Webhooks {
  readonly #events: ReadonlySet<string>;
  readonly #senders: readonly HookSender[];

  constructor(
    { pusherWebhooks, pusherWebhookEvents, webhooksPrivate }: WebhookSettings,
    apps: { readonly first: SigningApp | undefined },
    log: Log,
  ) {
    this.#events = new Set(pusherWebhookEvents);
    this.#senders = pusherWebhooks.map((url) => {
      const request = (events: readonly string[]) => requestOf(events, apps.first);
      const addresses = webhooksPrivate ? "any" : "public";
      return new HookSender({ receiver: { url, request }, addresses, log });
    });
  }

  /** What the relay tells; undefined where nobody is told. */
  get witness(): Witness | undefined {
    return this.#senders.length === 0 ? undefined : (happened) => this.#tell(happened);
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
    const event = eventOf(happened);
    if (event === undefined || !this.#events.has(event.name)) return;
    const text = JSON.stringify(event);
    for (const sender of this.#senders) sender.push(text);
  }
}

interface WebhookEvent {
  readonly name: string;
  readonly channel: string;
}

/** Undefined for what is no event in this protocol. */
function eventOf(happened: RelayEvent): WebhookEvent | undefined {
  if (happened.kind === "published") return clientEvent(happened);
  const { kind, topic: channel } = happened;
  if (channel.startsWith(PERSONAL)) return undefined;
  switch (kind) {
    case "occupied":
    case "vacated":
      return { name: `channel_${kind}`, channel };
    case "missed":
      return { name: "cache_miss", channel, ...{ event: "pusher:cache_miss" } };
    case "memberAdded":
    case "memberRemoved": {
      const name = kind === "memberAdded" ? "member_added" : "member_removed";
      return { name, channel, ...{ user_id: happened.user } };
    }
  }
}

function clientEvent({
  publication: { topic, event, data, info },
  client,
}: Extract<RelayEvent, { kind: "published" }>): WebhookEvent | undefined {
  if (event?.startsWith(CLIENT_EVENT) !== true) return undefined;
  // Some clients send JSON in a text, others as it is: backends get one text in both cases.
  const text: string = data.startsWith('"') ? JSON.parse(data) : data;
  return {
    name: "client_event",
    channel: topic,
    ...{ event, data: text, socket_id: client },
    ...(topic.startsWith(PRESENCE) && { user_id: info?.user }),
  };
}

/** Made for each attempt: some libraries refuse what was signed more than five minutes ago. */
function requestOf(events: readonly string[], app: SigningApp | undefined) {
  const body = `{"time_ms":${Date.now()},"events":[${events.join(",")}]}`;
  return {
    body,
    headers: {
      // Node's library takes no other spelling, and no parameter.
      "content-type": "application/json",
      "X-Pusher-Key": app?.key ?? "",
      "X-Pusher-Signature": createHmac("sha256", app?.secret ?? "")
        .update(body)
        .digest("hex"),
    },
  };
}
