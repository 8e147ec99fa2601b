#!/usr/bin/env bash
# PyPI: httpx 0.28.1 with httpcore 1.0.9, and httpx2 2.16.2, which goes on from it, with http2=True, at a server of Fastify 5.12.8 (npm, Node's http2); Node's http2 as a client
# next to them.
# Guess: over HTTP/2 a client sends further requests while a stream of events is open: a server that says nothing of SETTINGS_MAX_CONCURRENT_STREAMS allows any number
# (RFC 9113, section 6.5.2: "Initially, there is no limit"), and a request that has to wait ends with the timeout that was given, at the latest.
# Seen: both take one stream at a time until the server has named a number, and Node's http2 (so also Fastify and NestJS) names none unless told to. While a stream of events is open,
# every other request of the same client waits, without an error or a line in the log, for as long as the stream lives: the timeout of 2 s, which covers connecting, reading, writing
# and the pool, does not cover this wait, and no second connection is opened. Only a second request at the same time waits, so tests with one at a time pass. With Client and AsyncClient alike.
# nginx, HAProxy and Go's server (so Caddy) name 100 or more: behind them it does not happen, so it begins where a proxy is taken away, and between services.
# Give each open stream a client of its own, or the server settings: { maxConcurrentStreams: 100 }, as the second half here.
# Needs Node 20, npm, python3 with venv, openssl and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null || true; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund fastify@5.12.8 >/dev/null
python3 -m venv venv
venv/bin/pip install -q 'httpx[http2]==0.28.1' httpcore==1.0.9 'httpx2[http2]==2.16.2' h2==4.4.1
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:TRUE 2>/dev/null
# Events at /events, one every 0.3 s, for 8 s.
cat >server.mjs <<'JS'
import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import fastify from "fastify";

const settings = process.argv[2] ? { settings: { maxConcurrentStreams: Number(process.argv[2]) } } : {};
const app = fastify({ http2: true, https: { key: readFileSync("key.pem"), cert: readFileSync("cert.pem"), ...settings } });
async function* events() {
  for (let number = 1; number < 28; number++) {
    yield `data: ${number}\n\n`;
    await new Promise((done) => setTimeout(done, 300));
  }
}
app.get("/events", (_request, reply) => reply.type("text/event-stream").send(Readable.from(events())));
app.get("/", async () => "answered");
await app.listen({ port: 0, host: "127.0.0.1" });
console.log(app.server.address().port);
JS
cat >clients.py <<'PY'
import asyncio, sys, threading, time
import httpx, httpx2

URL = sys.argv[1]

def say(name, began, outcome):
    waited = time.monotonic() - began
    print(f"{name}: {outcome} {'at once' if waited < 1.5 else 'after its timeout' if waited < 4 else 'when the stream had ended'}", flush=True)

def blocking(name, library):
    with library.Client(http2=True, verify=False, timeout=2) as client, client.stream("GET", URL + "/events") as response:
        lines = response.iter_lines()
        next(lines)
        reader = threading.Thread(target=lambda: list(lines))
        reader.start()
        began = time.monotonic()
        try:
            outcome = client.get(URL).text
        except Exception as error:
            outcome = type(error).__name__
        say(f"{name}.Client", began, outcome)
        reader.join()

async def with_asyncio(name, library):
    async with library.AsyncClient(http2=True, verify=False, timeout=2) as client, client.stream("GET", URL + "/events") as response:
        lines = response.aiter_lines()
        await anext(lines)
        async def read():
            async for _ in lines:
                pass
        reader = asyncio.create_task(read())
        began = time.monotonic()
        try:
            outcome = (await client.get(URL)).text
        except Exception as error:
            outcome = type(error).__name__
        say(f"{name}.AsyncClient", began, outcome)
        await reader

for name, library in (("httpx", httpx), ("httpx2", httpx2)):
    blocking(name, library)
    asyncio.run(with_asyncio(name, library))
PY
cat >node.mjs <<'JS'
import { connect } from "node:http2";

const session = connect(process.argv[2], { rejectUnauthorized: false });
const stream = session.request({ ":path": "/events" });
await new Promise((done) => stream.once("data", done));
stream.resume();
const request = session.request({ ":path": "/" });
let text = "";
for await (const chunk of request) text += chunk;
console.log(`node:http2: ${text} ${stream.closed ? "when the stream had ended" : "at once"}`);
process.exit();
JS
for streams in "" 100; do
  : >port
  node server.mjs $streams >port & server=$!
  until [ -s port ]; do sleep 0.1; done
  url=https://localhost:$(<port)
  {
    echo "the server names ${streams:-no number}"
    timeout 60 venv/bin/python clients.py "$url"
    timeout 30 node node.mjs "$url" 2>/dev/null
  } >>seen
  kill $server; wait $server 2>/dev/null || true
done
cat seen
cat >expected <<'TXT'
the server names no number
httpx.Client: answered when the stream had ended
httpx.AsyncClient: answered when the stream had ended
httpx2.Client: answered when the stream had ended
httpx2.AsyncClient: answered when the stream had ended
node:http2: answered at once
the server names 100
httpx.Client: answered at once
httpx.AsyncClient: answered at once
httpx2.Client: answered at once
httpx2.AsyncClient: answered at once
node:http2: answered at once
TXT
diff expected seen
