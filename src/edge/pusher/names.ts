// How the channels that backends name are called as topics, and back: as for clients, but a channel of a user must be that user's alone.
import type { Backend } from "../../relay/backend";
import { Refusal } from "../../relay/contracts/errors";
import type { SessionProtocol } from "../../relay/contracts/protocol";
import { checkTopic } from "../../relay/text/checks";
import { personalTopic } from "../../relay/topics/permissions";

/** What the edge needs to know of the protocol's format; src/protocols/pusher says it. */
export interface PusherFormat {
  readonly protocol: SessionProtocol;
  kindOf(topic: string): "public" | "private" | "encrypted" | "presence";
  isCache(topic: string): boolean;
  /** The topic of a channel; undefined for a name that no channel has. */
  topicOf(channel: string): string | undefined;
  channelOf(topic: string): string;
  /** Whether an event is one that clients may send. */
  isClientEvent(name: string): boolean;
  readonly codes: { readonly noSuchApp: number; readonly otherVersion: number };
}

export class ChannelNames {
  readonly #format: PusherFormat;
  readonly #backend: Pick<Backend, "checkKnown">;

  constructor(format: PusherFormat, backend: Pick<Backend, "checkKnown">) {
    this.#format = format;
    this.#backend = backend;
  }

  /** The topic of a channel. Refuses (`invalid_topic`, `unknown_topic`) a name that no channel has. */
  topicOf(channel: string): string | Refusal {
    if (!channel.startsWith("#")) {
      return checkTopic(channel) ?? this.#backend.checkKnown(channel) ?? channel;
    }
    const user = this.#format.topicOf(channel)?.slice(1) ?? "";
    // A user whose name has a comma or # in it would share the topic with others.
    return (
      personalTopic(user) ??
      new Refusal(
        "invalid_topic",
        `A channel whose name begins with # must be ${this.channelOf("#")} and a user, whose name has neither a comma nor # in it.`,
      )
    );
  }

  /** The channel of a topic. */
  channelOf(topic: string): string {
    return this.#format.channelOf(topic);
  }

  /** Whether a channel shows its last event to each new subscriber. */
  isCache(channel: string): boolean {
    return this.#format.isCache(channel);
  }

  /** Whether a channel shows who is in it. */
  isPresence(channel: string): boolean {
    return this.#format.kindOf(channel) === "presence";
  }
}
