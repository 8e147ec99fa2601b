#!/usr/bin/env bash
# npm: extended-eventsource 2.1.0; PyPI: requests-sse 0.5.3. Next to them eventsource 5.1.5, undici 7.30.2 and httpx-sse 0.4.3. Node 20 (any from 18).
# Guess: it makes no difference where a network cuts a stream of Server-Sent Events. Lines that end with CR LF, as sse-starlette (PyPI) writes
# them by default, are lines wherever the cut is, also between the two bytes (WHATWG HTML, section 9.2.6).
# Seen: when the bytes of an event arrive in two pieces, the first one ending with the CR, these two take the LF for an empty line. One event of two
# lines becomes two events, each with half of the data and with the same id; the second half has lost its type, so that a
# program which listens for that type never sees it. A client that resumes behind that id never gets it either. The other three are right.
# Needs Node, npm, python3 with venv, and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap '[ -n "$server" ] && kill "$server" 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund extended-eventsource@2.1.0 eventsource@5.1.5 undici@7.30.2 >/dev/null
python3 -m venv venv
venv/bin/pip install -q requests-sse==0.5.3 httpx-sse==0.4.3 httpx==0.28.1
cat >server.mjs <<'JS'
import http from "node:http";

const PIECES = { whole: ["id: 7\r\nevent: news\r\ndata: one\r\ndata: two\r\n\r\n"], cut: ["id: 7\r\nevent: news\r\ndata: one\r", "\ndata: two\r\n\r\n"] };
const server = http.createServer((request, response) => {
  const [first, second] = PIECES[request.url.slice(1)];
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write(first);
  setTimeout(() => second && response.write(second), 300);
  setTimeout(() => response.destroy(), 4_000);
});
server.listen(0, () => console.log(server.address().port));
JS
cat >client.mjs <<'JS'
import { EventSource as Eventsource } from "eventsource";
import { EventSource as Extended } from "extended-eventsource";
import { EventSource as Undici } from "undici";

console.error = () => {};
const seen = [];
for (const [name, Source] of Object.entries({ Eventsource, Extended, Undici })) {
  for (const kind of ["whole", "cut"]) {
    const source = new Source(`http://127.0.0.1:${process.argv[2]}/${kind}`, {});
    const events = [];
    for (const type of ["news", "message"]) {
      source.addEventListener(type, ({ data, lastEventId }) => events.push(`${type} ${lastEventId} ${JSON.stringify(data)}`));
    }
    source.onerror = () => source.close();
    seen.push([`${name}, ${kind}`, events]);
  }
}
setTimeout(() => {
  for (const [name, events] of seen) console.log(`${name}: ${events.join(", ")}`);
  process.exit();
}, 3_000);
JS
cat >client.py <<'PY'
import json, sys
import httpx
from httpx_sse import connect_sse
from requests_sse import EventSource

def show(name, events):
    print(f"{name}: " + ", ".join(f"{kind} {at} {json.dumps(data)}" for kind, at, data in events), flush=True)

for kind in ("whole", "cut"):
    url = f"http://127.0.0.1:{sys.argv[1]}/{kind}"
    events = []
    try:
        with httpx.Client(timeout=10) as http, connect_sse(http, "GET", url) as stream:
            for event in stream.iter_sse():
                events.append((event.event, event.id, event.data))
    except httpx.HTTPError:
        pass
    show(f"httpx-sse, {kind}", events)
    events = []
    with EventSource(url, timeout=2, max_connect_retry=0) as source:
        try:
            for event in source:
                events.append((event.type, event.last_event_id, event.data))
                if "two" in event.data:
                    break
        except Exception:
            pass
    show(f"requests-sse, {kind}", events)
PY
node server.mjs >port & server=$!
until [ -s port ]; do sleep 0.1; done
node client.mjs "$(cat port)" 2>/dev/null | tee seen
venv/bin/python client.py "$(cat port)" 2>/dev/null | tee -a seen
cat >expected <<'TXT'
Eventsource, whole: news 7 "one\ntwo"
Eventsource, cut: news 7 "one\ntwo"
Extended, whole: news 7 "one\ntwo"
Extended, cut: news 7 "one", message 7 "two"
Undici, whole: news 7 "one\ntwo"
Undici, cut: news 7 "one\ntwo"
httpx-sse, whole: news 7 "one\ntwo"
requests-sse, whole: news 7 "one\ntwo"
httpx-sse, cut: news 7 "one\ntwo"
requests-sse, cut: news 7 "one", message 7 "two"
TXT
diff expected seen
