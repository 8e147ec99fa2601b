// The channels of a Redis server to which this node is subscribed, and the messages that come over them: one channel for each topic
// that is followed, besides those to which it is always subscribed.
//
// Changes go to the server in batches, one after the other. However fast topics are followed and left, what waits to be sent is
// never more than the difference.
import type { Keys } from "../server/keys";
import type { RedisLink } from "../server/link";
import { slices } from "../server/slices";

/** Channels in one command, and topics in one batch of commands. */
const COMMAND_CHANNELS_MAX = 1_000;
const BATCH_TOPICS_MAX = 10_000;

export interface TopicSubscriptionsOptions {
  readonly keys: Keys;
  /** At least one: without any channel Bun's client leaves its subscriber mode, and refuses commands in that moment. */
  readonly permanentChannels: readonly string[];
  readonly onPermanentMessage: (message: string) => void;
  readonly onTopicMessage: (topic: string, message: string) => void;
  readonly isFollowed: (topic: string) => boolean;
  /** From now on, all that is published to these topics comes here. */
  readonly onSubscribed: (topics: readonly string[]) => void;
}

export class TopicSubscriptions {
  readonly #options: TopicSubscriptionsOptions;
  #link: RedisLink | undefined;
  /** Topics for which the server was sent a SUBSCRIBE. */
  #subscribed = new Set<string>();
  /** Topics that were followed or left since the last batch of commands. */
  #changed = new Set<string>();
  #isSending = false;

  constructor(options: TopicSubscriptionsOptions) {
    this.#options = options;
  }

  follow(topic: string): void {
    this.#changed.add(topic);
    this.#schedule();
  }

  unfollow(topic: string): void {
    if (this.#subscribed.has(topic)) this.#changed.add(topic);
    else this.#changed.delete(topic);
    this.#schedule();
  }

  /** Subscribes a new connection to all channels. Rejects when that fails. */
  async setUp(link: RedisLink, topics: readonly string[]): Promise<void> {
    this.#subscribed = new Set();
    this.#changed = new Set();
    const { permanentChannels, onPermanentMessage, isFollowed } = this.#options;
    await link.subscriptions.subscribe([...permanentChannels], onPermanentMessage);
    for (const some of slices(topics, COMMAND_CHANNELS_MAX)) {
      await confirmed(link, this.#subscribe(link, some));
    }
    this.#link = link;
    // Some may have been left meanwhile.
    for (const topic of topics) if (!isFollowed(topic)) this.#changed.add(topic);
    this.#schedule();
  }

  /** The connection has broken. */
  down(): void {
    this.#link = undefined;
  }

  #schedule(): void {
    if (this.#isSending || this.#link === undefined || this.#changed.size === 0) return;
    this.#isSending = true;
    setImmediate(() => void this.#sendChanges());
  }

  /** Sends batches of changes until nothing has changed. */
  async #sendChanges(): Promise<void> {
    const link = this.#link;
    try {
      while (link !== undefined && this.#link === link && this.#changed.size > 0) {
        await this.#sendBatch(link);
      }
    } catch (error) {
      // The next connection subscribes to everything again.
      if (this.#link === link) link?.fail(error);
    }
    this.#isSending = false;
    this.#schedule();
  }

  async #sendBatch(link: RedisLink): Promise<void> {
    const { keys, isFollowed, onSubscribed } = this.#options;
    const changed = [...this.#changed.values().take(BATCH_TOPICS_MAX)];
    for (const topic of changed) this.#changed.delete(topic);
    const followed = changed.filter(isFollowed);
    const left = changed.filter((topic) => this.#subscribed.has(topic) && !isFollowed(topic));
    const added = followed.filter((topic) => !this.#subscribed.has(topic));
    const commands = slices(left, COMMAND_CHANNELS_MAX).map((some): Promise<unknown> => {
      for (const topic of some) this.#subscribed.delete(topic);
      return link.subscriptions.unsubscribe(some.map((topic) => keys.channel(topic)));
    });
    commands.push(
      ...slices(added, COMMAND_CHANNELS_MAX).map((some) => this.#subscribe(link, some)),
    );
    await confirmed(link, ...commands);
    if (this.#link === link) onSubscribed(followed);
  }

  async #subscribe(link: RedisLink, topics: readonly string[]): Promise<void> {
    const { keys } = this.#options;
    for (const topic of topics) this.#subscribed.add(topic);
    await link.subscriptions.subscribe(
      topics.map((topic) => keys.channel(topic)),
      this.#onMessage,
    );
  }

  /** One listener for all channels: Bun's client calls every listener that it was ever given for a channel. */
  readonly #onMessage = (message: string, channel: string): void => {
    const { keys, onTopicMessage } = this.#options;
    onTopicMessage(keys.topicOf(channel), message);
  };
}

/**
 * Resolves when the server has obeyed all of these commands. Bun's client resolves each with the first confirmation that it gets for
 * any channel, which may belong to an earlier command. The PING is answered after all of them.
 */
async function confirmed(link: RedisLink, ...commands: Promise<unknown>[]): Promise<void> {
  await Promise.all([...commands, link.subscriptions.send("PING", [])]);
}
