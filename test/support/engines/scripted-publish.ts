// Publishes with the script of the Redis engine but without a node: at any moment of the server's clock, over any channel.
import { PUBLISH_SCRIPTS } from "../../../src/engines/redis/publishing/publish-script";
import { Keys } from "../../../src/engines/redis/server/keys";
import type { RedisServer } from "./redis-server";

interface ScriptedPublish {
  readonly prefix: string;
  readonly texts: readonly string[];
  readonly topic?: string;
  /** In place of the topic's channel. */
  readonly channel?: string;
  /** Milliseconds since 1970. */
  readonly at?: number;
  readonly historySize?: number;
}

/** Answers what the script answers. */
export function publishScripted(server: RedisServer, publish: ScriptedPublish): Promise<unknown> {
  const { prefix, texts, topic = "t", at = Date.now(), historySize = 100 } = publish;
  const keys = new Keys(prefix);
  const names = [keys.dataGeneration, keys.count, keys.sharedEpoch];
  names.push(keys.numbering(topic), keys.history(topic));
  const bodies = texts.map((text) => JSON.stringify([text, 0])).join("\n");
  return server.command(
    ...["EVAL", PUBLISH_SCRIPTS.PUBLISH.text, String(names.length), ...names],
    ...[String(at * 1_000), "1"],
    ...[publish.channel ?? keys.channel(topic), "nobody.1", String(texts.length), bodies],
    ...[String(historySize), "60000", "e", keys.epochTakenBit(topic)],
  );
}
