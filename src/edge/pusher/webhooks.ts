// The webhooks of the Pusher protocol: what happens in the relay, as server libraries verify and read it. They are signed by the first
// app, because all apps have the same topics.
import type { RelayEvent } from "../../relay/contracts/options";
import { isPersonal } from "../../relay/topics/permissions";
import type { HookReceiver, HookRequest } from "../hooks/receiver";
import type { PusherFormat } from "./names";
import { sign } from "./signatures";

const NAMES: Readonly<Partial<Record<RelayEvent["kind"], string>>> = {
  occupied: "channel_occupied",
  vacated: "channel_vacated",
  memberAdded: "member_added",
  memberRemoved: "member_removed",
  published: "client_event",
  missed: "cache_miss",
  counted: "subscription_count",
};

interface PusherReceiverOptions {
  readonly url: string;
  /** The names of the events that it wants. */
  readonly events: readonly string[];
  readonly apps: { readonly first: { readonly key: string; readonly secret: string } | undefined };
  readonly format: Pick<PusherFormat, "isClientEvent" | "kindOf">;
}

/** A receiver of webhooks that a library for Pusher verifies. */
export class PusherReceiver implements HookReceiver {
  readonly url: string;
  /** As long as Pusher tries. */
  readonly ageMaxMs = 300_000;
  readonly #events: ReadonlySet<string>;
  readonly #apps: PusherReceiverOptions["apps"];
  readonly #format: PusherReceiverOptions["format"];

  constructor({ url, events, apps, format }: PusherReceiverOptions) {
    this.url = url;
    this.#events = new Set(events);
    this.#apps = apps;
    this.#format = format;
  }

  wants(kind: RelayEvent["kind"]): boolean {
    return this.#events.has(NAMES[kind] ?? "");
  }

  textOf(happened: RelayEvent): string | undefined {
    if (!this.wants(happened.kind)) return undefined;
    const event = this.#eventOf(happened);
    return event && JSON.stringify({ name: NAMES[happened.kind], ...event });
  }

  lostTextOf(): undefined {}

  /** Signed anew for each attempt: some libraries refuse what was signed more than five minutes ago. */
  requestOf(texts: readonly string[]): HookRequest {
    const body = `{"time_ms":${Date.now()},"events":[${texts.join(",")}]}`;
    const { key = "", secret = "" } = this.#apps.first ?? {};
    return {
      body,
      headers: {
        // Node's library takes no other spelling, and no parameter.
        "content-type": "application/json",
        "X-Pusher-Key": key,
        "X-Pusher-Signature": sign(secret, body),
      },
    };
  }

  /** Undefined for what is no event in this protocol: what happens in the topics of users, and without a topic. */
  #eventOf(happened: RelayEvent): object | undefined {
    if (happened.kind === "published") return this.#clientEventOf(happened);
    if (!("topic" in happened)) return undefined;
    const { topic: channel } = happened;
    if (isPersonal(channel)) return undefined;
    if (happened.kind === "missed") return { channel, event: "pusher:cache_miss" };
    if (happened.kind === "counted") return { channel, subscription_count: happened.count };
    return "user" in happened ? { channel, user_id: happened.user } : { channel };
  }

  /** Clients of other protocols may publish with any other name, or none: that is no event here. */
  #clientEventOf({
    publication: { topic, event, data, info },
    client,
  }: Extract<RelayEvent, { kind: "published" }>): object | undefined {
    if (event === undefined || !this.#format.isClientEvent(event)) return undefined;
    // Some clients send JSON in a text, others as it is: backends get one text in both cases.
    const text: string = data.startsWith('"') ? JSON.parse(data) : data;
    const isPresence = this.#format.kindOf(topic) === "presence";
    return {
      channel: topic,
      ...{ event, data: text, socket_id: client },
      ...(isPresence && { user_id: info?.user }),
    };
  }
}
