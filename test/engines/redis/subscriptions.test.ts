// The messages of topics, from a connection that the test itself speaks for, and the commands that subscribe to them.
import { describe, expect, test } from "bun:test";
import { TopicSubscriptions } from "../../../src/engines/redis/following/subscriptions";
import { Keys } from "../../../src/engines/redis/server/keys";
import type { RedisLink } from "../../../src/engines/redis/server/link";
import { until } from "../../support/wait";

const keys = new Keys("baton");

/** A server that obeys every command at once, and sends what the test publishes. */
class Connection {
  readonly commands: string[] = [];
  #listener: ((message: string, channel: string) => void) | undefined;

  readonly link = {
    fail: (error: unknown) => {
      throw error;
    },
    subscriptions: {
      subscribe: async (
        channels: string[],
        listener: (message: string, channel: string) => void,
      ) => {
        if (!channels.includes(keys.silence)) this.#listener = listener;
        this.commands.push(`subscribe ${channels.join()}`);
      },
      unsubscribe: async (channels: string[]) => {
        this.commands.push(`unsubscribe ${channels.join()}`);
      },
      send: async (command: string) => {
        this.commands.push(command);
      },
    },
  } as unknown as RedisLink;

  publish(topic: string, ...messages: readonly string[]): void {
    for (const message of messages) this.#listener?.(message, keys.channel(topic));
  }
}

/** A node that follows the topic t. */
async function start() {
  const connection = new Connection();
  const followed = new Set(["t"]);
  const subscribed: string[] = [];
  const messages: string[] = [];
  const subscriptions = new TopicSubscriptions({
    keys,
    permanentChannels: [keys.silence],
    onPermanentMessage: () => {},
    onTopicMessage: (topic, message) => messages.push(`${topic} ${message}`),
    isFollowed: (topic) => followed.has(topic),
    onSubscribed: (topics) => subscribed.push(...topics),
  });
  await subscriptions.setUp(connection.link, [...followed]);
  return { connection, followed, subscribed, messages, subscriptions };
}

test("messages of topics are handed on as they come, in their order", async () => {
  const { connection, messages } = await start();
  connection.publish("t", "a", "b");
  expect(messages).toEqual(["t a", "t b"]);
  connection.publish("t", "c");
  expect(messages).toEqual(["t a", "t b", "t c"]);
});

describe("subscriptions", () => {
  test("a new connection is subscribed to the permanent channels and to all followed topics", async () => {
    const { connection } = await start();
    const all = ["subscribe baton:quiet", "subscribe baton:live:t", "PING"];
    expect(connection.commands).toEqual(all);
  });

  test("topics that are followed and left in one turn leave in one batch, and only the difference", async () => {
    const { connection, followed, subscribed, subscriptions } = await start();
    connection.commands.length = 0;
    for (const topic of ["a", "b", "c"]) {
      followed.add(topic);
      subscriptions.follow(topic);
    }
    for (const topic of ["b", "t"]) {
      followed.delete(topic);
      subscriptions.unfollow(topic);
    }
    await until("the topics to be subscribed", () => subscribed.length === 2);
    expect(subscribed).toEqual(["a", "c"]);
    expect(connection.commands).toEqual([
      "unsubscribe baton:live:t",
      "subscribe baton:live:a,baton:live:c",
      "PING",
    ]);
  });

  test("a topic that is left while a new connection is set up is unsubscribed", async () => {
    const { connection, followed, subscriptions } = await start();
    connection.commands.length = 0;
    const settingUp = subscriptions.setUp(connection.link, ["t", "u"]);
    followed.delete("t");
    followed.add("u");
    subscriptions.unfollow("t");
    await settingUp;
    await until("the topic to be left", () => connection.commands.length === 5);
    expect(connection.commands.slice(3)).toEqual(["unsubscribe baton:live:t", "PING"]);
  });
});
