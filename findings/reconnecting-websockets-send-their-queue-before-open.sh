#!/usr/bin/env bash
# npm: reconnecting-websocket 4.4.0 and partysocket 1.3.0 (its WebSocket, a fork of the first); Node 20 (any from 18), ws 8.23.0.
# Guess: the first frame on each new connection is the one that the program sends in its "open" handler, as on a WebSocket: a greeting, a
# token, or where it wants to resume.
# Seen: what the program sent while the connection was lost is queued and goes out first, before "open" is dispatched. A server that expects the
# greeting in the first frame gets something else, or acts on an old frame first, for example a subscription without a position, and
# what was missed is not recovered. With maxEnqueuedMessages: 0 the greeting comes first, and what is sent in between is dropped
# without a word. That holds for the first connection too, since send() before "open" does not throw.
# Needs Node and npm. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund reconnecting-websocket@4.4.0 partysocket@1.3.0 ws@8.23.0 >/dev/null
cat >probe.cjs <<'JS'
const Reconnecting = require("reconnecting-websocket");
const { WebSocket, WebSocketServer } = require("ws");
const { default: Party } = require("partysocket/ws");

const frames = {};
const server = new WebSocketServer({ port: 0 });
server.on("connection", (socket, request) => {
  frames[request.url] ??= [];
  const received = [];
  frames[request.url].push(received);
  socket.on("message", (data) => received.push(String(data)));
  if (frames[request.url].length === 1) setTimeout(() => socket.terminate(), 300);
});
server.on("listening", () => {
  for (const [name, Socket] of Object.entries({ reconnecting: Reconnecting, party: Party })) {
    for (const [kind, options] of Object.entries({ defaults: {}, "no-queue": { maxEnqueuedMessages: 0 } })) {
      const url = `ws://127.0.0.1:${server.address().port}/${name}-${kind}`;
      const socket = new Socket(url, [], { WebSocket, minReconnectionDelay: 300, maxReconnectionDelay: 600, ...options });
      socket.addEventListener("open", () => socket.send("greeting"));
      socket.addEventListener("close", () => socket.send("topics"));
      socket.addEventListener("error", () => {});
    }
  }
  setTimeout(() => {
    for (const [url, [first, second]] of Object.entries(frames).sort()) console.log(`${url.slice(1)}: ${first.join(" ")}; after the loss: ${second.join(" ")}`);
    process.exit();
  }, 4_000);
});
JS
node probe.cjs 2>/dev/null | tee seen
cat >expected <<'TXT'
party-defaults: greeting; after the loss: topics greeting
party-no-queue: greeting; after the loss: greeting
reconnecting-defaults: greeting; after the loss: topics greeting
reconnecting-no-queue: greeting; after the loss: greeting
TXT
diff expected seen
