#!/usr/bin/env bash
# npm: @stomp/stompjs 7.5.0 (STOMP over WebSocket), stompit 1.0.0 (over TCP) next to it; Node 20, ws 8.23.0. The relay between them copies header lines.
# Guess: what one client of STOMP 1.2 writes into a header of a message, another one reads there: backslash, colon and line ends are escaped by the
# sender and unescaped by the receiver ("Value Encoding" in the specification), and any text without NUL comes through.
# Seen: stompjs escapes correctly, but unescapes in four passes, one for each sequence, so that an escaped backslash in front of n, r or c
# is read as part of another sequence. The header C:\new arrives as "C:", a backslash, a line feed and "ew", C:\cache as C:\:ache, without an
# error, also from stompjs to stompjs. stompit reads both as they were sent.
# Needs Node and npm. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @stomp/stompjs@7.5.0 stompit@1.0.0 ws@8.23.0 >/dev/null
cat >probe.mjs <<'JS'
import net from "node:net";
import { Client } from "@stomp/stompjs";
import stompit from "stompit";
import WebSocket, { WebSocketServer } from "ws";

globalThis.WebSocket = WebSocket;
const PATHS = ["C:\\new", "C:\\cache", "C:\\temp"];
const subscribers = [];
// A relay in 15 lines: it answers CONNECT, and hands the header lines of a SEND, as they came, to all who have sent SUBSCRIBE.
const serve = (send) => {
  let buffer = "";
  return (data) => {
    buffer += data;
    for (let end = buffer.indexOf("\0"); end >= 0; end = buffer.indexOf("\0")) {
      const [head, body] = buffer.slice(0, end).trimStart().split("\n\n");
      buffer = buffer.slice(end + 1);
      const [command, ...lines] = head.split("\n");
      if (command === "CONNECT") send("CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0");
      if (command === "SUBSCRIBE") subscribers.push({ send, id: lines.find((line) => line.startsWith("id:")).slice(3) });
      if (command !== "SEND") continue;
      console.log(`on the wire: ${lines.find((line) => line.startsWith("path:"))}`);
      for (const { send, id } of subscribers) send(`MESSAGE\nsubscription:${id}\nmessage-id:1\n${lines.join("\n")}\n\n${body}\0`);
    }
  };
};
const overWebSocket = new WebSocketServer({ port: 0, handleProtocols: ([first]) => first });
overWebSocket.on("connection", (socket) => socket.on("message", serve((text) => socket.send(text))));
const overTcp = net.createServer((socket) => socket.on("data", serve((text) => socket.write(text)))).listen(0);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
await pause(200);

const client = new Client({ brokerURL: `ws://127.0.0.1:${overWebSocket.address().port}/` });
client.onConnect = () => client.subscribe("/news", ({ headers }) => console.log(`stompjs: ${JSON.stringify(headers.path)}`));
client.activate();
await pause(500);
stompit.connect({ host: "127.0.0.1", port: overTcp.address().port }, (_, other) =>
  other.subscribe({ destination: "/news" }, (_, message) => {
    console.log(`stompit: ${JSON.stringify(message.headers.path)}`);
    message.readString("utf-8", () => {});
  }),
);
await pause(500);
for (const path of PATHS) {
  client.publish({ destination: "/news", headers: { path }, body: "x" });
  await pause(300);
}
process.exit();
JS
timeout 30 node probe.mjs 2>/dev/null | tee seen
cat >expected <<'TXT'
on the wire: path:C\c\\new
stompjs: "C:\\\new"
stompit: "C:\\new"
on the wire: path:C\c\\cache
stompjs: "C:\\:ache"
stompit: "C:\\cache"
on the wire: path:C\c\\temp
stompjs: "C:\\temp"
stompit: "C:\\temp"
TXT
diff expected seen
