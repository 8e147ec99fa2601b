// Finds out why a Redis server does not accept a connection, or cannot be used. Bun's client gives the same error for a closed
// port as for a wrong password.
import { isForbidden } from "./error-answers";

/** How long the server may take to answer. */
const ANSWER_TIMEOUT_MS = 1_000;

/** Why the server cannot be used, in a few words and without the password. Never rejects. */
export async function diagnose(url: string): Promise<string> {
  return (await firstError(url)) ?? "the connection was closed";
}

/**
 * Rejects with an Error of a few words when this user may not leave a channel. Bun's client neither rejects nor resolves what it is
 * refused there, and cannot be used afterwards.
 */
export async function checkUnsubscribe(url: string, channel: string): Promise<void> {
  const error = await firstError(url, ["UNSUBSCRIBE", channel]);
  if (error !== undefined && isForbidden(error)) throw new Error(error);
}

/** What the server says is wrong when it is sent this over a connection of its own; undefined when it obeys. */
async function firstError(url: string, ...commands: string[][]): Promise<string | undefined> {
  const { hostname, port, username, password, protocol, pathname } = new URL(url);
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const timeout = setTimeout(() => resolve("it does not answer"), ANSWER_TIMEOUT_MS);
  const isTls = protocol === "rediss:";
  const ask = (socket: Bun.Socket): void => {
    const credentials = [username || "default", password].map(decodeURIComponent);
    const database = pathname.slice(1);
    if (password !== "") socket.write(command("AUTH", ...credentials));
    // Servers before version 6 do not know it.
    socket.write(command("HELLO", "3"));
    if (database !== "") socket.write(command("SELECT", database));
    for (const words of [...commands, ["PING"]]) socket.write(command(...words));
  };
  let answers = "";
  const connecting = Bun.connect({
    hostname: hostname.replace(/^\[|\]$/g, ""),
    port: Number(port || 6379),
    tls: isTls,
    socket: {
      open(socket) {
        if (!isTls) ask(socket);
      },
      handshake(socket, _, error) {
        if (error) resolve(error.message);
        else if (isTls) ask(socket);
      },
      data(_, bytes) {
        answers += bytes.toString();
        const error = /^-(.*)\r\n/m.exec(answers)?.[1];
        if (error !== undefined) resolve(error);
        else if (answers.endsWith("+PONG\r\n")) resolve(undefined);
      },
      close: () => resolve("the connection was closed"),
      error: (_, error) => resolve(error.message),
    },
  });
  connecting.catch((error: Error) => resolve(error.message));
  const reason = await promise;
  clearTimeout(timeout);
  connecting.then((socket) => socket.end()).catch(() => {});
  return reason;
}

/** A command as the bytes that a client sends (RESP). */
function command(...words: string[]): string {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return `*${words.length}\r\n${parts.join("")}`;
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
