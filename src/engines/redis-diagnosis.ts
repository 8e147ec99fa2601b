// Why a Redis server does not take our connection: Bun's client says the same for a closed port and a wrong password.

/** How long the server may take. */
const PATIENCE_MS = 1_000;

/** What is wrong, in a few words and without the password. Never rejects. */
export async function diagnose(url: string): Promise<string> {
  const { hostname, port, username, password, protocol, pathname } = new URL(url);
  const { promise, resolve } = Promise.withResolvers<string>();
  const late = setTimeout(() => resolve("it does not answer"), PATIENCE_MS);
  let heard = "";
  const socket = Bun.connect({
    hostname: hostname.replace(/^\[|\]$/g, ""),
    port: Number(port || 6379),
    tls: protocol === "rediss:",
    socket: {
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
  socket.then(
    (open) => {
      const auth = [username || "default", password].map(decodeURIComponent);
      const database = pathname.slice(1);
      if (password !== "") open.write(command("AUTH", ...auth));
      if (database !== "") open.write(command("SELECT", database));
      open.write(command("PING"));
    },
    (error: Error) => resolve(error.message),
  );
  const why = await promise;
  clearTimeout(late);
  socket.then((open) => open.end()).catch(() => {});
  return why;
}

function command(...words: string[]): string {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return `*${words.length}\r\n${parts.join("")}`;
}
