#!/usr/bin/env bash
# npm: eventsource 2.0.2, @microsoft/fetch-event-source 2.0.1, extended-eventsource 2.1.0; Node 20 (any from 18).
# Guess: when a stream is cut in the middle of an event, behind its "id:" line and before its empty line, a client reconnects with the id
# of the event before it: WHATWG HTML (section 9.2.6) keeps an id only when the event is dispatched, and this one never was.
# Seen: all three send the id of the event that they did not get, as soon as they have read its line. A server that resumes behind
# that id never sends the event again: it is lost, and nobody knows. undici 7.16.0 and eventsource 5.1.5 send the right one. Where a server
# writes the id as the last line of a block, all send the right one.
# Needs Node and npm. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund two@npm:eventsource@2.0.2 five@npm:eventsource@5.1.5 undici@7.16.0 \
  @microsoft/fetch-event-source@2.0.1 extended-eventsource@2.1.0 >/dev/null
cat >probe.mjs <<'JS'
import http from "node:http";
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
  setTimeout(() => {
    for (const key of Object.keys(sentBack).sort()) console.log(`${key}: Last-Event-ID ${sentBack[key]}`);
    process.exit();
  }, 6_000);
});
JS
node probe.mjs 2>/dev/null | tee seen
cat >expected <<'TXT'
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
TXT
diff expected <(grep '^[A-Z].*Last-Event-ID' seen)
