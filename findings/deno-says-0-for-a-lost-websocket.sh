#!/usr/bin/env bash
# Deno 2.9.6 (npm's package deno), its WebSocket; Bun 1.4.4 and undici 7.30.2 in Node next to it. The server is npm's ws 8.23.0.
# Guess: a connection that ends without a close frame is 1006 to its close event, as the WebSockets Standard ("feedback from the protocol") and RFC 6455 (section 7.1.5) say, and
# as in every browser; a program written for browsers works in Deno as it is.
# Seen: the code is 0, which no version of the protocol knows, whether the server was killed or reset the connection; wasClean is false, as it should be. A program that reconnects
# "if (event.code === 1006)", counts codes, or passes them on stays away or fails: 0 is outside every range, for close() too. Test wasClean instead. All other codes arrive, and
# 1005 for a close frame without one.
# Needs Node and npm. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund deno@2.9.6 bun@1.4.4 undici@7.30.2 ws@8.23.0 >/dev/null
cat >server.mjs <<'JS'
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket, { url }) => {
  socket.send("hello");
  setTimeout(() => {
    if (url === "/killed") socket.terminate();
    else if (url === "/reset") socket._socket.resetAndDestroy();
    else if (url === "/none") socket.close();
    else socket.close(Number(url.slice(1)), "the reason");
  }, 300);
});
JS
cat >client.mjs <<'JS'
const [name, port] = globalThis.Deno ? Deno.args : process.argv.slice(2);
const Socket = name === "undici" ? (await import("undici")).WebSocket : WebSocket;
const seen = [];
for (const how of ["1012", "4001", "none", "killed", "reset"]) {
  await new Promise((done) => {
    new Socket(`ws://127.0.0.1:${port}/${how}`).onclose = ({ code, wasClean }) => done(seen.push(`${how} ${code} ${wasClean}`));
  });
}
console.log(`${name}: ${seen.join(", ")}`);
JS
node server.mjs >port & server=$!
until [ -s port ]; do sleep 0.1; done
{
  npx deno run -A --no-lock client.mjs deno "$(cat port)"
  npx bun client.mjs bun "$(cat port)"
  node client.mjs undici "$(cat port)"
} 2>/dev/null | tee seen
cat >expected <<'TXT'
deno: 1012 1012 true, 4001 4001 true, none 1005 true, killed 0 false, reset 0 false
bun: 1012 1012 true, 4001 4001 true, none 1005 true, killed 1006 false, reset 1006 false
undici: 1012 1012 true, 4001 4001 true, none 1005 true, killed 1006 false, reset 1006 false
TXT
diff expected seen
