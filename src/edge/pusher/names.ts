// How the channels that backends name are called as topics, and back: by the same name, except for those of users.
import { Refusal } from "../../relay/contracts/errors";
import { checkTopic } from "../../relay/text/checks";
import { personalTopic } from "../../relay/topics/permissions";

const OF_USER = "#server-to-user-";

/** The topic of a channel. Refuses (`invalid_topic`) a name that no channel has. */
export function topicOf(channel: string): string | Refusal {
  if (!channel.startsWith("#")) return checkTopic(channel) ?? channel;
  const user = channel.startsWith(OF_USER) ? channel.slice(OF_USER.length) : "";
  // A user whose name has a comma or # in it would share the topic with others.
  return (
    personalTopic(user) ??
    new Refusal(
      "invalid_topic",
      `A channel whose name begins with # must be ${OF_USER} and a user, whose name has neither a comma nor # in it.`,
    )
  );
}

/** The channel of a topic. */
export function channelOf(topic: string): string {
  return topic.startsWith("#") ? OF_USER + topic.slice(1) : topic;
}

/** Whether a channel shows who is in it. */
export function isPresence(channel: string): boolean {
  return channel.startsWith("presence-");
}
