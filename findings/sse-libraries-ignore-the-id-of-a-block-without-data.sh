#!/usr/bin/env bash
# npm: eventsource 3.0.7 and 4.1.1, event-source-polyfill 1.0.31, launchdarkly-eventsource 2.2.0; Node 20 (any from 18).
# Guess: a server that begins a stream with "id: start" and no data, to tell a client where it is before there is anything to send, gets
# that id back when the client reconnects: by WHATWG HTML (section 9.2.6) the id is kept before the data is looked at.
# Seen: these four reconnect without any id (the polyfill without its parameter), so what was published meanwhile is lost to a client that was
# cut before its first event. eventsource 2.0.2 and 5.1.5 and undici 7.16.0 send it. With an empty "data:" line in the block, all send it.
# Needs Node and npm. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund two@npm:eventsource@2.0.2 three@npm:eventsource@3.0.7 four@npm:eventsource@4.1.1 \
  five@npm:eventsource@5.1.5 undici@7.16.0 event-source-polyfill@1.0.31 launchdarkly-eventsource@2.2.0 >/dev/null
cat >probe.mjs <<'JS'
import http from "node:http";
import polyfill from "event-source-polyfill";
import { EventSource as Five } from "five";
import { EventSource as Four } from "four";
import launchdarkly from "launchdarkly-eventsource";
import { EventSource as Three } from "three";
import Two from "two";
import { EventSource as Undici } from "undici";

const sources = { Two, Three, Four, Five, Undici, Polyfill: polyfill.EventSourcePolyfill, LaunchDarkly: launchdarkly.EventSource };
const BODIES = { bare: "retry: 300\nid: start\n\n", empty: "retry: 300\nid: start\nevent: at\ndata:\n\n" };
const requests = {};
const server = http.createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://server");
  requests[pathname] ??= [];
  requests[pathname].push(request.headers["last-event-id"] ?? searchParams.get("lastEventId") ?? "nothing");
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write(BODIES[pathname.split("/")[2]]);
  setTimeout(() => response.end(), 200);
});
server.listen(0, () => {
  for (const [name, Source] of Object.entries(sources)) {
    for (const kind of ["bare", "empty"]) {
      const source = new Source(`http://127.0.0.1:${server.address().port}/${name}/${kind}`, {});
      source.onerror = () => {};
    }
  }
  setTimeout(() => {
    for (const name of Object.keys(sources)) {
      const [bare, empty] = ["bare", "empty"].map((kind) => requests[`/${name}/${kind}`]?.[1] ?? "no second request");
      console.log(`${name}: comes back with ${bare}; with an empty data line, with ${empty}`);
    }
    process.exit();
  }, 6_000);
});
JS
node probe.mjs 2>/dev/null | tee seen
cat >expected <<'TXT'
Two: comes back with start; with an empty data line, with start
Three: comes back with nothing; with an empty data line, with start
Four: comes back with nothing; with an empty data line, with start
Five: comes back with start; with an empty data line, with start
Undici: comes back with start; with an empty data line, with start
Polyfill: comes back with nothing; with an empty data line, with start
LaunchDarkly: comes back with nothing; with an empty data line, with start
TXT
diff expected <(grep 'comes back' seen)
