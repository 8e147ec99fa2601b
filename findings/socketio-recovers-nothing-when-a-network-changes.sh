#!/usr/bin/env bash
# npm: socket.io 4.8.4 and socket.io-client 4.8.4, with connectionStateRecovery on the server and its own adapter in memory; Node 20 (any from 18).
# Guess: a client that loses its connection and is back within maxDisconnectionDuration gets what it missed, socket.recovered says true on both sides, and
# it makes no difference how the connection was lost: that is what the feature is for.
# Seen: so it is when the server has seen the old connection end. A phone that goes from Wi-Fi to mobile data, or a laptop that wakes up, does not end it: the
# server keeps the old socket for up to 45 s, until its ping finds out, and puts a session aside only then. A client that is back
# before finds nothing to recover: recovered is false, and what was sent meanwhile went to the old socket and is lost. So it is faster to
# lose messages the faster a client comes back. The same for a client that had got no broadcast before the cut, however the server saw it end.
# Needs Node and npm. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund socket.io@4.8.4 socket.io-client@4.8.4 >/dev/null
cat >probe.mjs <<'JS'
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { Server } from "socket.io";
import { io as connect } from "socket.io-client";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const server = http.createServer().listen(0, "127.0.0.1");
await once(server, "listening");
const io = new Server(server, { connectionStateRecovery: { maxDisconnectionDuration: 120_000 } });

// The network between them: a connection that leaves it either ends at both sides, or only the client knows.
let last;
const network = net.createServer((client) => {
  const upstream = net.connect(server.address().port, "127.0.0.1");
  client.pipe(upstream, { end: false }).on("error", () => {});
  upstream.pipe(client).on("error", () => {});
  last = { client, upstream };
}).listen(0, "127.0.0.1");
await once(network, "listening");

for (const [name, serverSees, before] of [
  ["the server sees the loss", true, true],
  ["only the client sees it", false, true],
  ["the server sees it, nothing was sent before", true, false],
]) {
  const socket = connect(`http://127.0.0.1:${network.address().port}`, { transports: ["websocket"], reconnectionDelay: 300, reconnectionDelayMax: 300, forceNew: true });
  const got = [];
  socket.on("news", (text) => got.push(text));
  await once(socket, "connect");
  if (before) {
    io.emit("news", "one");
    while (got.length === 0) await sleep(10);
  }
  const { client, upstream } = last;
  upstream.unpipe(client);
  client.destroy();
  upstream.resume();
  if (serverSees) upstream.destroy();
  await sleep(100);
  io.emit("news", "two");
  io.emit("news", "three");
  await once(socket, "connect");
  await sleep(200);
  io.emit("news", "four");
  while (!got.includes("four")) await sleep(10);
  console.log(`${name}: recovered ${socket.recovered}, got ${got.join(" ")}`);
  socket.close();
  upstream.destroy();
  await sleep(100);
}
process.exit();
JS
node probe.mjs | tee seen
cat >expected <<'TXT'
the server sees the loss: recovered true, got one two three four
only the client sees it: recovered false, got one four
the server sees it, nothing was sent before: recovered false, got four
TXT
diff expected seen
