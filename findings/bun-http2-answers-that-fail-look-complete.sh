#!/usr/bin/env bash
# Bun 1.4.4, its node:http2, createSecureServer; Node next to it (20 when seen). The client is httpx 0.28.1 (PyPI).
# Guess: a server that cannot finish an answer resets the stream, stream.close(NGHTTP2_INTERNAL_ERROR) or stream.destroy(), so that the client knows that
# something is missing: RST_STREAM, or no END_STREAM at all (RFC 9113, section 8.1).
# Seen: Bun sends an empty DATA frame with END_STREAM instead, and no RST_STREAM, whatever the code is: the client takes half an answer for a whole one. A
# stream of events ends in an orderly way, which many clients take as "done" and do not come back from. Only destroy() with an error resets the
# stream. Node resets it each time. (A Response of Bun.serve with http2, whose stream fails, is reset as it should be.)
# Needs Node, npm, python3 with venv, openssl and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null || true; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund bun@1.4.4 >/dev/null
python3 -m venv venv
venv/bin/pip install -q 'httpx[http2]==0.28.1'
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost 2>/dev/null
cat >server.mjs <<'JS'
import { readFileSync } from "node:fs";
import { constants, createSecureServer } from "node:http2";

const server = createSecureServer({ key: readFileSync("key.pem"), cert: readFileSync("cert.pem") });
server.on("request", async (request, response) => {
  const { stream } = response;
  stream.on("error", () => {});
  response.on("error", () => {});
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write("data: 1\n\n");
  await new Promise((resolve) => setTimeout(resolve, 200));
  // Two and three should follow, but now the database is away.
  if (request.url === "/close(INTERNAL_ERROR)") stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  if (request.url === "/close(CANCEL)") stream.close(constants.NGHTTP2_CANCEL);
  if (request.url === "/destroy()") stream.destroy();
  if (request.url === "/destroy(error)") stream.destroy(new Error("the database is away"));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
JS
cat >read.py <<'PY'
import sys
import httpx

client = httpx.Client(http2=True, verify=False)
for how in ("close(INTERNAL_ERROR)", "close(CANCEL)", "destroy()", "destroy(error)"):
    try:
        text = client.get(f"{sys.argv[1]}/{how}").text.strip()
        print(f"{sys.argv[2]}: after {how} the answer is complete: {text}")
    except httpx.RemoteProtocolError:
        print(f"{sys.argv[2]}: after {how} the stream is reset")
PY
for program in Bun Node; do
  : >port
  if [ $program = Bun ]; then node_modules/.bin/bun server.mjs >port & server=$!; else node server.mjs >port & server=$!; fi
  until [ -s port ]; do sleep 0.1; done
  timeout 20 venv/bin/python read.py "https://localhost:$(cat port)" $program
  kill $server
done >seen
cat seen
cat >expected <<'TXT'
Bun: after close(INTERNAL_ERROR) the answer is complete: data: 1
Bun: after close(CANCEL) the answer is complete: data: 1
Bun: after destroy() the answer is complete: data: 1
Bun: after destroy(error) the stream is reset
Node: after close(INTERNAL_ERROR) the stream is reset
Node: after close(CANCEL) the stream is reset
Node: after destroy() the stream is reset
Node: after destroy(error) the stream is reset
TXT
diff expected seen
