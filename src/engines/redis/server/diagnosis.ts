// Why a Redis server does not take our connection: Bun's client says the same for a closed port and a wrong password.

/** How long the server may take. */
const PATIENCE_MS = 1_000;

/** What is wrong, in a few words and without the password. Never rejects. */
export async function diagnose(url: string): Promise<string> {
  const { hostname, port, username, password, protocol, pathname } = new URL(url);
  const { promise, resolve } = Promise.withResolvers<string>();
  const late = setTimeout(() => resolve("it does not answer"), PATIENCE_MS);
  const isTls = protocol === "rediss:";
  const ask = (socket: Bun.Socket): void => {
    const auth = [username || "default", password].map(decodeURIComponent);
    const database = pathname.slice(1);
    if (password !== "") socket.write(command("AUTH", ...auth));
    // Unknown before version 6.
    socket.write(command("HELLO", "3"));
    if (database !== "") socket.write(command("SELECT", database));
    socket.write(command("PING"));
  };
  let heard = "";
  const socket = Bun.connect({
    hostname: hostname.replace(/^\[|\]$/g, ""),
    port: Number(port || 6379),
    tls: isTls,
    socket: {
      open(open) {
        if (!isTls) ask(open);
      },
      handshake(open, _, wrong) {
        if (wrong) resolve(wrong.message);
        else if (isTls) ask(open);
      },
      data(_, bytes) {
        heard += bytes.toString();
        const wrong = /^-(.*)\r\n/m.exec(heard)?.[1];
        if (wrong !== undefined) resolve(wrong);
        else if (heard.endsWith("+PONG\r\n")) resolve("the connection was closed");
      },
      close: () => resolve("the connection was closed"),
      error: (_, error) => resolve(error.message),
    },
  });
  socket.catch((error: Error) => resolve(error.message));
  const why = await promise;
  clearTimeout(late);
  socket.then((open) => open.end()).catch(() => {});
  return why;
}

function command(...words: string[]): string {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return `*${words.length}\r\n${parts.join("")}`;
}

/** The run id of a server, from what it says of itself. Throws an Error of a few words where we cannot use such a server. */
export function runOf(info: string): string {
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
