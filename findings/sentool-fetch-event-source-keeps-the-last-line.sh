#!/usr/bin/env bash
# npm: @sentool/fetch-event-source 0.6.0; Node 20 (any from 18).
# Guess: an event with several "data:" lines arrives as their text, joined by line feeds (WHATWG HTML, section 9.2.6): it is how every
# text of several lines is sent.
# Seen: only the last line arrives, without an error, and an id of digits becomes a number, so that "id: 007" is 7 and a server
# that is given it back does not know it. fetch-event-stream 0.1.6, fetch-sse 1.2.1 and eventsource-parser 3.1.1 give both lines, but
# fetch-event-stream cuts the spaces at the beginning of each.
# Needs Node and npm. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund fetch-event-stream@0.1.6 @sentool/fetch-event-source@0.6.0 fetch-sse@1.2.1 eventsource-parser@3.1.1 >/dev/null
cat >probe.mjs <<'JS'
import http from "node:http";
import { fetchEventSource } from "@sentool/fetch-event-source";
import { createParser } from "eventsource-parser";
import { stream } from "fetch-event-stream";
import { fetchEventData } from "fetch-sse";

globalThis.document ??= { visibilityState: "visible", hidden: false, addEventListener() {}, removeEventListener() {} };
const TEXT = "id: 007\ndata: one\ndata:   two\n\n";
const server = http.createServer((_, response) => {
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.end(TEXT);
});
server.listen(0, async () => {
  const url = `http://127.0.0.1:${server.address().port}/`;
  const show = (name, { id, data }) => console.log(`${name}: ${JSON.stringify({ id, data })}`);
  for await (const event of await stream(url)) show("fetch-event-stream", event);
  await fetchEventSource(url, { onmessage: (event) => show("sentool", event), onerror() {} });
  await new Promise((resolve) => setTimeout(resolve, 500));
  await fetchEventData(url, { onMessage: (event) => event && show("fetch-sse", { data: event.data }) });
  createParser({ onEvent: (event) => show("eventsource-parser", event) }).feed(TEXT);
  process.exit();
});
JS
node probe.mjs 2>/dev/null | tee seen
cat >expected <<'TXT'
fetch-event-stream: {"id":"007","data":"one\ntwo"}
sentool: {"id":7,"data":"two"}
fetch-sse: {"data":"one\n  two"}
eventsource-parser: {"id":"007","data":"one\n  two"}
TXT
diff expected <(sort -u seen | grep -E '^[a-z-]+: \{' | awk -F: '{ order["fetch-event-stream"]=1; order["sentool"]=2; order["fetch-sse"]=3; order["eventsource-parser"]=4; print order[$1] "\t" $0 }' | sort -n | cut -f2-)
