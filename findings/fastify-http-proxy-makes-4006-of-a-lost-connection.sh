#!/usr/bin/env bash
# @fastify/http-proxy 11.6.3 (npm, with fastify 5.12.8, Node), option websocket: true, between npm's ws 8.23.0 on both sides; pusher-js 8.6.0 and graphql-ws 6.4.2
# as clients of their own protocols; http-proxy-3 1.23.2, which copies bytes, next to it.
# Guess: a connection that breaks on one side of a proxy breaks on the other side, or ends with a code of the standard for it (1011, 1014), and a close frame
# without a code goes on without a code. Codes from 4000 to 4999 are the application's own (RFC 6455, section 7.4.2): no proxy makes them up.
# Seen: a lost connection becomes 4006 and a close frame without a code 4005, both clean, in both directions. They mean something where the application has codes: in the
# Pusher protocol 4000 to 4099 say "do not come back", so pusher-js, which returns from every lost connection by itself, stays away for good when its server is killed, and
# graphql-ws takes 4005 for an error of its own and ends all subscriptions, though it retries after a close without a code. All other codes come through with their reason.
# Whoever has such clients must not put this proxy in between; one that copies bytes after the upgrade (nginx, HAProxy, http-proxy-3) does no harm.
# Needs Node and npm. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @fastify/http-proxy@11.6.3 fastify@5.12.8 ws@8.23.0 pusher-js@8.6.0 graphql-ws@6.4.2 graphql@16.15.0 http-proxy-3@1.23.2 >/dev/null
cat >run.mjs <<'JS'
import { createServer } from "node:http";
import proxy from "@fastify/http-proxy";
import fastify from "fastify";
import { createClient } from "graphql-ws";
import httpProxy from "http-proxy-3";
import Pusher from "pusher-js";
import { WebSocket, WebSocketServer } from "ws";

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const closes = [];
const opened = { pusher: 0, graphql: 0 };
const backend = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: (offered) => [...offered][0] });
backend.on("connection", (socket, { url }) => {
  const what = url.slice(1);
  if (what === "died") setTimeout(() => socket.terminate(), 200);
  if (what === "none") setTimeout(() => socket.close(), 200);
  if (/^\d/.test(what)) setTimeout(() => socket.close(Number(what), "the reason"), 200);
  if (what.startsWith("client")) socket.on("close", (code) => closes.push(`server, ${what}: ${code}`));
  if (what.startsWith("app/")) {
    socket.send(JSON.stringify({ event: "pusher:connection_established", data: '{"socket_id":"1.1","activity_timeout":30}' }));
    if (++opened.pusher === 1) setTimeout(() => socket.terminate(), 300);
  }
  if (what === "graphql") {
    const first = ++opened.graphql === 1;
    socket.on("message", (text) => JSON.parse(text).type === "connection_init" && socket.send('{"type":"connection_ack"}'));
    if (first) setTimeout(() => socket.close(), 500);
  }
});
await new Promise((done) => backend.on("listening", done));
const upstream = `http://127.0.0.1:${backend.address().port}`;

const app = fastify();
app.register(proxy, { upstream, websocket: true, wsUpstream: upstream.replace("http", "ws") });
await app.listen({ port: 0, host: "127.0.0.1" });
const bytes = httpProxy.createProxyServer({ target: upstream, ws: true });
bytes.on("error", () => {});
const copier = createServer().on("upgrade", (request, socket, head) => bytes.ws(request, socket, head)).listen(0, "127.0.0.1");
await new Promise((done) => copier.on("listening", done));

for (const [name, port] of [["fastify", app.server.address().port], ["http-proxy-3", copier.address().port]]) {
  const open = (what) => new WebSocket(`ws://127.0.0.1:${port}/${what}`);
  for (const what of ["1012", "4001", "none", "died"]) {
    await new Promise((done) => (open(what).onclose = ({ code, wasClean }) => done(console.log(`${name}, client, ${what}: ${code} clean ${wasClean}`))));
  }
  for (const what of ["client-none", "client-died"]) {
    const socket = open(what);
    await new Promise((done) => (socket.onopen = done));
    await pause(300);
    what === "client-none" ? socket.close() : socket.terminate();
    await pause(500);
  }
  console.log(closes.splice(0).map((line) => `${name}, ${line}`).join("\n"));

  opened.pusher = opened.graphql = 0;
  const pusher = new Pusher("key", { wsHost: "127.0.0.1", wsPort: port, forceTLS: false, enabledTransports: ["ws"], cluster: "" });
  const ended = [];
  const client = createClient({ url: `ws://127.0.0.1:${port}/graphql`, webSocketImpl: WebSocket, lazy: false, onNonLazyError: () => ended.push("given up"), retryWait: async () => {} });
  await pause(6000);
  console.log(`${name}, pusher-js after its server was killed: ${pusher.connection.state}, connections ${opened.pusher}`);
  console.log(`${name}, graphql-ws after a close without a code: ${ended[0] ?? "goes on"}, connections ${opened.graphql}`);
  pusher.disconnect();
  client.dispose();
}
process.exit();
JS
timeout 90 node run.mjs 2>/dev/null | tee seen
cat >expected <<'TXT'
fastify, client, 1012: 1012 clean true
fastify, client, 4001: 4001 clean true
fastify, client, none: 4005 clean true
fastify, client, died: 4006 clean true
fastify, server, client-none: 4005
fastify, server, client-died: 4006
fastify, pusher-js after its server was killed: disconnected, connections 1
fastify, graphql-ws after a close without a code: given up, connections 1
http-proxy-3, client, 1012: 1012 clean true
http-proxy-3, client, 4001: 4001 clean true
http-proxy-3, client, none: 1005 clean true
http-proxy-3, client, died: 1006 clean false
http-proxy-3, server, client-none: 1005
http-proxy-3, server, client-died: 1006
http-proxy-3, pusher-js after its server was killed: connected, connections 2
http-proxy-3, graphql-ws after a close without a code: goes on, connections 2
TXT
diff expected seen
