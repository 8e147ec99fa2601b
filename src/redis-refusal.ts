// Finds out why a Redis server does not accept a connection. Bun's client gives the same error for a closed port as for a wrong password.

/** How long the server may take to answer. */
const ANSWER_TIMEOUT_MS = 1_000;

interface Question {
  /** What it is sent beside what a client needs to connect. */
  readonly command?: readonly string[];
  /** What Bun's client is given as `tls`. */
  readonly tls?: Bun.TLSOptions | undefined;
}

/** What the server says is wrong, over a connection of its own, in a few words and without the password; undefined when it obeys. Never rejects. */
export async function redisRefusal(
  url: string,
  { command, tls }: Question = {},
): Promise<string | undefined> {
  const { hostname, port, username, password, protocol, pathname } = new URL(url);
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const timeout = setTimeout(() => resolve("it does not answer"), ANSWER_TIMEOUT_MS);
  const isTls = protocol === "rediss:";
  const ask = (socket: Bun.Socket): void => {
    const credentials = [username || "default", password].map(decodeURIComponent);
    const database = pathname.slice(1);
    if (password !== "") socket.write(encoded("AUTH", ...credentials));
    // Servers before version 6 do not know it.
    socket.write(encoded("HELLO", "3"));
    if (database !== "") socket.write(encoded("SELECT", database));
    if (command !== undefined) socket.write(encoded(...command));
    socket.write(encoded("PING"));
  };
  let answers = "";
  const connecting = Bun.connect({
    hostname: hostname.replace(/^\[|\]$/g, ""),
    port: Number(port || 6379),
    // An empty object would be no TLS at all.
    tls: isTls && (tls ?? true),
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
function encoded(...words: readonly string[]): string {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return `*${words.length}\r\n${parts.join("")}`;
}
