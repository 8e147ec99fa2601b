// The messages of topics, from a connection that the test itself speaks for, and the commands that subscribe to them.
import { describe, expect, test } from "bun:test";
import { Batcher } from "../../../src/engines/batcher";
import { TopicSubscriptions } from "../../../src/engines/redis/following/subscriptions";
import { Keys } from "../../../src/engines/redis/server/keys";
import type { RedisLink } from "../../../src/engines/redis/server/link";
import { busy, until } from "../../support/wait";

const keys = new Keys("baton");

const turn = () => new Promise<void>((done) => setImmediate(done));

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

/** A node that follows the topic t. `onMessage` does its work for a message. */
async function start(onMessage: (message: string) => void = () => {}) {
  const connection = new Connection();
  const followed = new Set(["t"]);
  const subscribed: string[] = [];
  /** The messages of each turn without a pause. */
  const batches: string[][] = [];
  let isOpen = false;
  const subscriptions = new TopicSubscriptions({
    keys,
    batcher: new Batcher(),
    permanentChannels: [keys.silence],
    onPermanentMessage: () => {},
    onTopicMessage: (_, message) => {
      if (!isOpen) batches.push([]);
      isOpen = true;
      queueMicrotask(() => {
        isOpen = false;
      });
      batches.at(-1)?.push(message);
      onMessage(message);
    },
    isFollowed: (topic) => followed.has(topic),
    onSubscribed: (topics) => subscribed.push(...topics),
  });
  await subscriptions.setUp(connection.link, [...followed]);
  return { connection, followed, subscribed, batches, subscriptions };
}

describe("messages of topics", () => {
  test("messages that come in one turn are handed on together, in their order", async () => {
    const { connection, batches } = await start();
    connection.publish("t", "a", "b", "c");
    expect(batches).toEqual([]);
    await until("all messages", () => batches.flat().length === 3);
    expect(batches).toEqual([["a", "b", "c"]]);
  });

  test("messages are handed on as they come while handling them costs nothing", async () => {
    const { connection, batches } = await start();
    const messages = ["a", "b", "c", "d"];
    for (const [i, message] of messages.entries()) {
      connection.publish("t", message);
      await until("the message", () => batches.length === i + 1);
    }
    expect(batches).toEqual(messages.map((message) => [message]));
  });

  test("while the sockets take one batch, the messages of several turns wait for the next", async () => {
    const { connection, batches } = await start((message) => {
      // As long as sends to many sockets take.
      busy(3);
      if (message !== "b") return;
      connection.publish("t", "c");
      setImmediate(() => connection.publish("t", "d"));
    });
    connection.publish("t", "a");
    await until("the first batch, which is slow", () => batches.length === 1);
    await turn();
    connection.publish("t", "b");
    await until("all messages", () => batches.flat().length === 4);
    expect(batches).toEqual([["a"], ["b"], ["c", "d"]]);
  });

  test("messages are handed on at once when their connection has broken", async () => {
    const { connection, batches, subscriptions } = await start();
    connection.publish("t", "a", "b");
    subscriptions.down();
    expect(batches).toEqual([["a", "b"]]);
  });
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
