// Finds out why a Redis server does not accept a connection, or cannot be used.
import { redisRefusal } from "../../../redis-refusal";
import { isForbidden } from "./error-answers";

/** Why the server cannot be used, in a few words and without the password. Never rejects. */
export async function diagnose(url: string): Promise<string> {
  return (await redisRefusal(url)) ?? "the connection was closed";
}

/**
 * Rejects with an Error of a few words when this user may not leave a channel. Bun's client neither rejects nor resolves what it is
 * refused there, and cannot be used afterwards.
 */
export async function checkUnsubscribe(url: string, channel: string): Promise<void> {
  const error = await redisRefusal(url, { command: ["UNSUBSCRIBE", channel] });
  if (error !== undefined && isForbidden(error)) throw new Error(error);
}

/**
 * A server's run id, from its answer to INFO; undefined when that says nothing of it. Throws an Error of a few words when Baton
 * cannot use such a server.
 */
export function runIdOf(info: string): string | undefined {
  const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, "m").exec(info)?.[1];
  const mode = field("redis_mode");
  if (mode === "cluster") {
    throw new Error("it is a node of a Redis Cluster; Baton takes several single servers instead");
  }
  const version = field("redis_version");
  const [major = 0, minor = 0] = (version ?? "").split(".").map(Number);
  if (version !== undefined && (major < 6 || (major === 6 && minor < 2))) {
    throw new Error(`it is version ${version}; Baton needs 6.2 or newer`);
  }
  return field("run_id");
}
