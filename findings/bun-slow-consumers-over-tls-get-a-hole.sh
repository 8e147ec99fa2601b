#!/usr/bin/env bash
# Bun 1.4.4, Bun.serve with websocket: { backpressureLimit, closeOnBackpressureLimit: true }, with and without tls.
# Guess: a client that does not read is closed as soon as more than the limit waits for it, whether the server speaks TLS or not.
# Seen: without TLS it is closed at once, with 1006, and what it had got had no hole. With TLS it stays connected for as long as it does not
# read: publish() drops each message for which there is no room, close() is not called and nothing is raised. When the client reads again, it
# gets messages from before and, in about two of three runs, from after what was dropped, and only then is it closed. A server over TLS that promises an order without
# holes has to compare ws.getBufferedAmount() with the limit itself, and to set a limit that Bun never reaches.
# Needs Node, npm and openssl. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"
trap 'rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund bun@1.4.4 ws@8.23.0 >/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem 2>/dev/null
cat >server.mjs <<'JS'
const tls = process.argv[2] === "tls" ? { key: Bun.file("key.pem"), cert: Bun.file("cert.pem") } : undefined;
const LIMIT = 65_536, MESSAGES = 2_000, text = (i) => `${i} ${"x".repeat(10_000)}`;
let closed;
const server = Bun.serve({
  port: 0,
  tls,
  fetch: (request, self) => (self.upgrade(request) ? undefined : new Response("no")),
  websocket: {
    backpressureLimit: LIMIT,
    closeOnBackpressureLimit: true,
    open: (ws) => ws.subscribe("t"),
    close: (_, code) => { closed = code; },
    message: async (ws) => {
      // The client has stopped reading.
      for (let i = 1; i <= MESSAGES; i++) {
        server.publish("t", text(i));
        if (i % 20 === 0) await Bun.sleep(1);
      }
      console.log(closed ?? "not closed");
    },
  },
});
console.log(server.port);
JS
cat >client.mjs <<'JS'
import { createInterface } from "node:readline";
import { spawn } from "node:child_process";
import WebSocket from "ws";
const kind = process.argv[2];
const server = spawn("node_modules/.bin/bun", ["server.mjs", kind], { stdio: ["ignore", "pipe", "inherit"] });
const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
const port = (await lines.next()).value;
const socket = new WebSocket(`${kind === "tls" ? "wss" : "ws"}://localhost:${port}`, { rejectUnauthorized: false });
let last = 0, holes = 0;
let end;
const over = new Promise((resolve) => { end = resolve; });
socket.on("message", (data) => {
  const number = Number.parseInt(data, 10);
  if (number !== last + 1) holes++;
  last = number;
});
socket.on("close", end);
socket.on("error", () => {});
await new Promise((open) => socket.on("open", open));
socket.send("go");
socket.pause();
const said = (await lines.next()).value;
socket.resume();
const code = await over;
console.log(`${kind}: after 2,000 messages the server says ${said}; the client, which reads again, ` +
  `got a part ${holes === 0 ? "without a hole" : "with a hole"} and is closed with ${code}`);
server.kill();
process.exit();
JS
for _ in $(seq 10); do
  plain=$(node client.mjs plain)
  tls=$(node client.mjs tls)
  printf '%s\n' "$plain" "$tls"
  [ "$plain" = "plain: after 2,000 messages the server says 1006; the client, which reads again, got a part without a hole and is closed with 1006" ] || break
  case $tls in
    "tls: after 2,000 messages the server says not closed; "*" with a hole and is closed with 1006") exit 0 ;;
    "tls: after 2,000 messages the server says not closed; "*) ;;
    *) break ;;
  esac
done
echo "the behaviour has changed"
exit 1
