// The names of channels in the Pusher protocol: a channel is a topic of the same name, except for those of users. What a name begins
// with says who may have it, to the letter: a name that only looks alike is another, public one.

const USER_PREFIX = "#server-to-user-";

const KINDS = {
  "private-encrypted-": "encrypted",
  "private-": "private",
  "presence-": "presence",
} as const;

/** "encrypted": as private, but the relay sees ciphertext only, so that it cannot pass on what clients say. */
type ChannelKind = (typeof KINDS)[keyof typeof KINDS] | "public";

export const PRESENCE_PREFIX = "presence-" satisfies keyof typeof KINDS;

/**
 * How the channels begin that need a signature of the backend. Where there are apps, clients of other protocols need a token or a
 * registration that names such a topic: otherwise whoever reaches the relay could read it by another wire.
 */
export const CLOSED_PREFIXES: readonly string[] = Object.keys(KINDS);

/** Channels that show each new subscriber their last event. */
export const CACHE_PREFIXES = [
  "cache-",
  "private-cache-",
  "private-encrypted-cache-",
  "presence-cache-",
] as const;

export function kindOf(topic: string): ChannelKind {
  for (const [prefix, kind] of Object.entries(KINDS)) if (topic.startsWith(prefix)) return kind;
  return "public";
}

export function isCache(topic: string): boolean {
  return CACHE_PREFIXES.some((prefix) => topic.startsWith(prefix));
}

/** The topic of a channel; undefined for a name that no channel has. */
export function topicOf(channel: string): string | undefined {
  if (channel.startsWith(USER_PREFIX)) return `#${channel.slice(USER_PREFIX.length)}`;
  return channel.startsWith("#") ? undefined : channel;
}

/** The channel of a topic. */
export function channelOf(topic: string): string {
  return topic.startsWith("#") ? `${USER_PREFIX}${topic.slice(1)}` : topic;
}
