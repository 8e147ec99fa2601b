#!/usr/bin/env bash
# Bun 1.4.4, its fetch; Node next to it (20 when seen).
# Guess: a program that follows some hundred streams of events with fetch, each of another server or all of one, can still send a request: HTTP/1.1 has no
# limit for connections, and Node's fetch has none.
# Seen: with 256 answers open, whose bodies have not ended, the 257th fetch waits until one of them ends, whatever server it goes to. Nothing is
# sent, nothing is raised and nothing is logged; streams of events never end, so it waits for ever. Its AbortSignal does end it. A
# program that relays events works in every test and stops one day, when there are enough streams, first of all for the calls that it makes
# beside them, such as tokens and webhooks. The number is that of BUN_CONFIG_MAX_HTTP_REQUESTS; node:http of the same process still goes out.
# Needs Node, npm and the registry npm. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null || true; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund bun@1.4.4 >/dev/null
cat >server.mjs <<'JS'
import http from "node:http";

const events = http.createServer((request, response) => {
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write("data: hello\n\n");
});
const other = http.createServer((request, response) => response.end("answered"));
events.listen(0, "127.0.0.1", () => other.listen(0, "127.0.0.1", () => console.log(events.address().port, other.address().port)));
JS
cat >client.mjs <<'JS'
import http from "node:http";

const [, , name, events, other] = process.argv;
const after = (ms, value) => new Promise((resolve) => setTimeout(resolve, ms, value));
const get = (options) => fetch(`http://127.0.0.1:${other}/`, options).then((answer) => answer.text(), (error) => error.name);
const open = [];
for (let i = 0; i < 256; i++) open.push(await fetch(`http://127.0.0.1:${events}/`));
const request = get();
const says = (what, value) => console.log(`${name}: ${what}: ${value}`);
says("fetch to another server beside 256 streams", await Promise.race([request, after(4_000, "nothing in 4 s")]));
says("one with a time limit of a second", await get({ signal: AbortSignal.timeout(1_000) }));
says("node:http", await new Promise((resolve) => http.get(`http://127.0.0.1:${other}/`, (answer) => answer.on("data", (bytes) => resolve(String(bytes))))));
await open[0].body.cancel();
says("the first fetch, after one stream was given up", await Promise.race([request, after(4_000, "nothing in 4 s")]));
process.exit();
JS
node server.mjs >ports & server=$!
until [ -s ports ]; do sleep 0.1; done
{ node client.mjs Node $(<ports); BUN_CONFIG_MAX_HTTP_REQUESTS= node_modules/.bin/bun client.mjs Bun $(<ports); } | tee seen
cat >expected <<'TXT'
Node: fetch to another server beside 256 streams: answered
Node: one with a time limit of a second: answered
Node: node:http: answered
Node: the first fetch, after one stream was given up: answered
Bun: fetch to another server beside 256 streams: nothing in 4 s
Bun: one with a time limit of a second: TimeoutError
Bun: node:http: answered
Bun: the first fetch, after one stream was given up: answered
TXT
diff expected seen
