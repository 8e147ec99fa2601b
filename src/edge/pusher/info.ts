// What Pusher backends ask about channels, over all workers and nodes: who is there, and how many.
import type { Backend } from "../../relay/backend";
import { Refusal } from "../../relay/contracts/errors";
import type { ChannelNames } from "./names";

/** What to say about each channel. */
export interface Attributes {
  readonly users: boolean;
  readonly subscriptions: boolean;
  /** The last event, which new subscribers are shown. */
  readonly cache: boolean;
}

/** What may be asked about many channels, and about one that is named in the path. */
const NAMES = ["user_count", "subscription_count"];
const NAMES_OF_ONE = [...NAMES, "cache"];

/** The attributes in a list. Refuses (`invalid_query`) others, and `user_count` where not all channels have users. */
export function attributesOf(
  info: string,
  channels: readonly string[],
  channelNames: ChannelNames,
  known: readonly string[] = NAMES,
): Attributes | Refusal {
  const names = info === "" ? [] : info.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    return new Refusal(
      "invalid_query",
      `info must be ${known.join(" or ")}, or several of them with commas in between.`,
    );
  }
  const users = names.includes("user_count");
  return users && !channels.every((channel) => channelNames.isPresence(channel))
    ? noUsers()
    : {
        users,
        subscriptions: names.includes("subscription_count"),
        cache: names.includes("cache"),
      };
}

/** The attributes asked of one channel. Refuses as `attributesOf`, and `cache` of a channel that has none. */
export function attributesOfOne(
  info: string,
  channel: string,
  channelNames: ChannelNames,
): Attributes | Refusal {
  const attributes = attributesOf(info, [channel], channelNames, NAMES_OF_ONE);
  if (attributes instanceof Refusal || !attributes.cache || channelNames.isCache(channel)) {
    return attributes;
  }
  return new Refusal(
    "invalid_query",
    "Only cache channels have a last event: ask for cache of channels such as cache-news or private-cache-news.",
  );
}

function noUsers(): Refusal {
  return new Refusal(
    "invalid_query",
    "Only presence channels know their users: ask for user_count of channels that begin with presence-.",
  );
}

interface Counts {
  readonly user_count?: number;
  readonly subscription_count?: number;
}

/** What is asked about each of these topics, in their order; their names have been checked. Rejects with EngineUnavailable. */
export async function countsOf(
  backend: Backend,
  topics: readonly string[],
  { users, subscriptions }: Attributes,
  sizes?: readonly number[],
): Promise<readonly Counts[]> {
  const [subscribers, members] = await Promise.all([
    subscriptions ? (sizes ?? backend.subscriberCounts(topics)) : undefined,
    users ? Promise.all(topics.map((topic) => backend.memberCount(topic))) : undefined,
  ]);
  return topics.map((_, i) => ({
    ...(members !== undefined && { user_count: Number(members[i]) }),
    ...(subscribers !== undefined && { subscription_count: subscribers[i] }),
  }));
}

/** Refuses (`invalid_topic`, `invalid_query`). Rejects with EngineUnavailable. */
export async function channelUsers(backend: Backend, names: ChannelNames, channel: string) {
  if (!names.isPresence(channel)) return noUsers();
  const topic = names.topicOf(channel);
  if (topic instanceof Refusal) return topic;
  const members = await backend.members(topic);
  if (members instanceof Refusal) return members;
  return { users: members.map(({ user }) => ({ id: user })) };
}
