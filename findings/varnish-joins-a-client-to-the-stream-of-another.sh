#!/usr/bin/env bash
# Varnish (Debian 12's varnish, 7.1.1 when seen) with nothing but a backend configured, in front of a stream of Server-Sent Events.
# Guess: two clients that follow the same address have a stream each, and one that comes back with Last-Event-ID gets what it missed: an answer that
# has not ended is in no cache yet.
# Seen: where the server says no Cache-Control, which WHATWG HTML does not ask for, the second client is joined to the answer of the first one, while that is still
# going on. The server never hears of it or of its Last-Event-ID: what the client missed is lost, and all that the first one has got comes to it,
# from the beginning. One that connects anew later gets old events too. With "Cache-Control: no-cache" (or no-store) each has a stream of its own. It works
# in every test with one client.
# Needs Node, curl, a C compiler (Varnish compiles its configuration) and Debian's registry (apt-get download). Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server= varnish=
trap 'kill $server $varnish 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
mkdir debs; cd debs
apt-get -qq download varnish libvarnishapi3 libjemalloc2 2>/dev/null
for file in *.deb; do dpkg -x "$file" ../root; done
cd ..
lib=$(dirname "$(find "$dir/root" -name libjemalloc.so.2)")
cat >server.mjs <<'JS'
import http from "node:http";

const streams = new Set();
let newest = 5;
const event = (number) => `id: ${number}\ndata: ${number}\n\n`;
const server = http.createServer((request, response) => {
  if (request.url === "/ready") return response.end();
  if (request.url === "/publish") {
    newest++;
    for (const stream of streams) stream.write(event(newest));
    return response.end();
  }
  response.writeHead(200, { "content-type": "text/event-stream", ...(request.url === "/no-cache" ? { "cache-control": "no-cache" } : {}) });
  response.write(": hello\n\n");
  // What was missed, then what is new.
  for (let number = Number(request.headers["last-event-id"] ?? newest) + 1; number <= newest; number++) response.write(event(number));
  streams.add(response);
  request.on("close", () => streams.delete(response));
}).listen(0, "127.0.0.1", () => console.log(server.address().port));
JS
node server.mjs >port & server=$!
until [ -s port ]; do sleep 0.1; done
front=$(node -e 'const server = require("node:net").createServer().listen(0, "127.0.0.1", () => { console.log(server.address().port); server.close(); })')
printf 'vcl 4.1;\nbackend default { .host = "127.0.0.1"; .port = "%s"; }\n' "$(<port)" >default.vcl
LD_LIBRARY_PATH=$lib:$lib/varnish root/usr/sbin/varnishd -j none -F -n "$dir/work" -a "127.0.0.1:$front" -f "$dir/default.vcl" >varnish.log 2>&1 & varnish=$!
until curl -s -o /dev/null "http://127.0.0.1:$front/ready"; do sleep 0.2; done
publish() { curl -s "http://127.0.0.1:$(<port)/publish"; sleep 0.3; }
# The address, for how many seconds, the id that it has.
follow() { timeout "$2" curl -sN ${3:+-H "Last-Event-ID: $3"} "http://127.0.0.1:$front/$1" | sed -n 's/^data: //p' | tr '\n' ' ' || true; }
id=5
for path in plain no-cache; do
  follow $path 4 >one & one=$!
  sleep 1
  publish
  echo "$path: comes back with id $((id - 2)), the newest is $((id + 1)): $(follow $path 1.5 $((id - 2)))"
  wait $one
  follow $path 1.5 >three & three=$!
  sleep 0.7
  publish
  wait $three
  echo "$path: the first one got $(<one)"
  echo "$path: comes anew, is sent $((id + 2)): $(<three)"
  id=$((id + 2))
done | sed 's/ *$//' | tee seen
cat >expected <<'TXT'
plain: comes back with id 3, the newest is 6: 6
plain: the first one got 6
plain: comes anew, is sent 7: 6 7
no-cache: comes back with id 5, the newest is 8: 6 7 8
no-cache: the first one got 8
no-cache: comes anew, is sent 9: 9
TXT
diff expected seen
