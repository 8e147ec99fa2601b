// What the edge needs to know of the Pusher protocol's format; src/protocols/pusher says it.
import type { SessionProtocol } from "../../relay/contracts/protocol";

export interface PusherFormat {
  readonly protocol: SessionProtocol;
  kindOf(topic: string): "public" | "private" | "encrypted" | "presence";
  /** The topic of a channel; undefined for a name that no channel has. */
  topicOf(channel: string): string | undefined;
  channelOf(topic: string): string;
  readonly codes: { readonly noSuchApp: number; readonly otherVersion: number };
}
