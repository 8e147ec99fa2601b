// Finds out why a Redis server does not accept a connection, or cannot be used. Bun's client gives the same error for a closed
// port as for a wrong password.

/** How long the server may take to answer. */
const ANSWER_TIMEOUT_MS = 1_000;

/** What is wrong, in a few words and without the password. Never rejects. */
export async function diagnose(url: string): Promise<string> {
  const { hostname, port, username, password, protocol, pathname } = new URL(url);
  const { promise, resolve } = Promise.withResolvers<string>();
  const timeout = setTimeout(() => resolve("it does not answer"), ANSWER_TIMEOUT_MS);
  const isTls = protocol === "rediss:";
  const ask = (socket: Bun.Socket): void => {
    const credentials = [username || "default", password].map(decodeURIComponent);
    const database = pathname.slice(1);
    if (password !== "") socket.write(command("AUTH", ...credentials));
    // Servers before version 6 do not know it.
    socket.write(command("HELLO", "3"));
    if (database !== "") socket.write(command("SELECT", database));
    socket.write(command("PING"));
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
        else if (answers.endsWith("+PONG\r\n")) resolve("the connection was closed");
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

/** A server's run id, from its answer to INFO. Throws an Error of a few words when Baton cannot use such a server. */
export function runIdOf(info: string): string {
  const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, "m").exec(info)?.[1] ?? "";
  if (field("redis_mode") === "cluster") {
    throw new Error("it is a node of a Redis Cluster; Baton takes several single servers instead");
  }
  const version = field("redis_version");
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < 6 || (major === 6 && minor < 2)) {
    throw new Error(`it is version ${version}; Baton needs 6.2 or newer`);
  }
  return field("run_id");
}
