#!/usr/bin/env bash
# npm: eventsource 2.0.2, @microsoft/fetch-event-source 2.0.1, extended-eventsource 2.1.0; Node 20 (any from 18). workerd 1.20261117.1 (npm), which runs Cloudflare's Workers, with
# its own EventSource.
# Guess: when a stream is cut in the middle of an event, behind its "id:" line and before its empty line, a client reconnects with the id
# of the event before it: WHATWG HTML (section 9.2.6) keeps an id only when the event is dispatched, and this one never was.
# Seen: all four send the id of the event that they did not get, as soon as they have read its line. A server that resumes behind
# that id never sends the event again: it is lost, and nobody knows. undici 7.16.0, eventsource 5.1.5 and Deno 2.9.6
# send the right one. Where a server writes the id as the last line of a block, all send the right one.
# Needs Node and npm. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund two@npm:eventsource@2.0.2 five@npm:eventsource@5.1.5 undici@7.16.0 \
  @microsoft/fetch-event-source@2.0.1 extended-eventsource@2.1.0 workerd@1.20261117.1 deno@2.9.6 >/dev/null
cat >worker.js <<'JS'
const follow = (base) => ["first", "last"].forEach((kind) => new EventSource(`${base}/${kind}`));
if (globalThis.Deno) follow(Deno.args[0]);
export default {
  async fetch(request) {
    follow(decodeURIComponent(new URL(request.url).search.slice(1)));
    await new Promise((done) => setTimeout(done, 5_000));
    return new Response();
  },
};
JS
cat >workerd.capnp <<'CAPNP'
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker), (name = "internet", network = (allow = ["private"]))],
  sockets = [(name = "http", http = (), service = "main")]);
const worker :Workerd.Worker = (modules = [(name = "worker.js", esModule = embed "worker.js")], compatibilityDate = "2026-01-01");
CAPNP
cat >probe.mjs <<'JS'
import { spawn } from "node:child_process";
import http from "node:http";
import net from "node:net";
import { EventSource as Extended } from "extended-eventsource";
import { EventSource as Five } from "five";
import Two from "two";
import { EventSource as Undici } from "undici";

// fetch-event-source wants a page.
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
globalThis.window = globalThis;
const { fetchEventSource } = await import("@microsoft/fetch-event-source");
console.error = () => {};

const BODIES = {
  first: ["retry: 300\nid: 1\ndata: one\n\nid: 2\ndata: tw", "id first"],
  last: ["retry: 300\ndata: one\nid: 1\n\ndata: tw", "id last"],
};
const sentBack = {};
const free = await new Promise((done) => {
  const probe = net.createServer().listen(0, () => {
    const { port } = probe.address();
    probe.close(() => done(port));
  });
});
const server = http.createServer((request, response) => {
  const [, library, kind] = request.url.split("/");
  const key = `${library}, ${BODIES[kind][1]}`;
  const id = request.headers["last-event-id"];
  if (id !== undefined) sentBack[key] ??= id;
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write(BODIES[kind][0]);
  setTimeout(() => request.socket.destroy(), 200);
});
server.listen(0, () => {
  const base = `http://127.0.0.1:${server.address().port}`;
  for (const kind of ["first", "last"]) {
    for (const [name, Source] of Object.entries({ Two, Five, Undici, Extended })) {
      const source = new Source(`${base}/${name}/${kind}`, {});
      source.onerror = () => {};
    }
    fetchEventSource(`${base}/Microsoft/${kind}`, { openWhenHidden: true, async onopen() {}, onerror() {} }).catch(() => {});
  }
  const deno = spawn("npx", ["deno", "run", "-A", "--no-lock", "worker.js", `${base}/Deno`], { detached: true });
  const workerd = spawn("npx", ["workerd", "serve", "workerd.capnp", "--socket-addr", `http=127.0.0.1:${free}`], { detached: true });
  const ask = () => fetch(`http://127.0.0.1:${free}/?${encodeURIComponent(`${base}/Workerd`)}`).catch(() => setTimeout(ask, 200));
  ask();
  setTimeout(() => {
    for (const { pid } of [deno, workerd]) process.kill(-pid);
    for (const key of Object.keys(sentBack).sort()) console.log(`${key}: Last-Event-ID ${sentBack[key]}`);
    process.exit();
  }, 12_000);
});
JS
node probe.mjs 2>/dev/null | tee seen
cat >expected <<'TXT'
Deno, id first: Last-Event-ID 1
Deno, id last: Last-Event-ID 1
Extended, id first: Last-Event-ID 2
Extended, id last: Last-Event-ID 1
Five, id first: Last-Event-ID 1
Five, id last: Last-Event-ID 1
Microsoft, id first: Last-Event-ID 2
Microsoft, id last: Last-Event-ID 1
Two, id first: Last-Event-ID 2
Two, id last: Last-Event-ID 1
Undici, id first: Last-Event-ID 1
Undici, id last: Last-Event-ID 1
Workerd, id first: Last-Event-ID 2
Workerd, id last: Last-Event-ID 1
TXT
diff expected <(grep '^[A-Z].*Last-Event-ID' seen)
