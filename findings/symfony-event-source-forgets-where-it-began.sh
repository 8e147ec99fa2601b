#!/usr/bin/env bash
# Symfony's EventSourceHttpClient (Debian 12: php-symfony-http-client, 5.4.53 when seen), which PHP programs follow streams with, Mercure's for one. PHP 8.2.
# Guess: a program that kept the id of the last event begins with it in "Last-Event-ID", and whatever happens to the connection then, the next
# one says the id of the last event that the program got (WHATWG HTML, section 9.2.3). A server that says "retry: 1000" is asked again after a second.
# Seen: when the connection is lost before the first event with an id, the next request has no Last-Event-ID at all: what was
# missed is never asked for. "retry" is also taken for the longest silence: a stream that is quiet for longer (10 s where the server says nothing) is cut by the client,
# which comes back at once, again and again, although the server is well; a heartbeat must come more often than that. When the server ends the stream in
# an orderly way, the client does not come back. With an id in between, a lost connection is resumed as it should be.
# Needs PHP with curl, Node and Debian's registry (apt-get download). Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null || true; rm -rf "$dir"' EXIT
mkdir debs; cd debs
apt-get -qq download php-symfony-http-client php-symfony-http-client-contracts php-symfony-service-contracts php-symfony-deprecation-contracts \
  php-psr-log php-psr-container 2>/dev/null
for file in *.deb; do dpkg -x "$file" ../root; done
cd ..
cat >server.mjs <<'JS'
import { appendFileSync } from "node:fs";
import http from "node:http";

const times = {};
const server = http.createServer((request, response) => {
  const kind = decodeURIComponent(request.url.slice(1));
  const time = (times[kind] = (times[kind] ?? 0) + 1);
  if (time <= 2) appendFileSync("seen", `${kind}: request ${time}, Last-Event-ID ${request.headers["last-event-id"] ?? "none"}\n`);
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write("retry: 1000\n\n");
  if (kind !== "lost before an event") response.write(`id: ${time + 5}\ndata: news\n\n`);
  if (kind.startsWith("lost") && time === 1) setTimeout(() => request.socket.destroy(), 300);
  if (kind === "ended") setTimeout(() => response.end(), 300);
  // The quiet one is left open: nothing has happened.
  request.on("close", () => {
    if (kind === "quiet" && time === 1) appendFileSync("seen", "quiet: the client has cut the connection\n");
  });
}).listen(0, "127.0.0.1", () => console.log(server.address().port));
JS
cat >listen.php <<'PHP'
<?php
require 'root/usr/share/php/Symfony/Component/HttpClient/autoload.php';

use Symfony\Component\HttpClient\EventSourceHttpClient;

[, $port, $kind, $id] = $argv;
$client = new EventSourceHttpClient();
$source = $client->connect("http://127.0.0.1:$port/".rawurlencode($kind), ['headers' => ['Last-Event-ID' => $id]]);
$until = microtime(true) + 4;
// The loop of Symfony's documentation, with an end.
while (microtime(true) < $until) {
    foreach ($client->stream($source, 0.5) as $chunk) {
        if ($chunk->isTimeout()) {
            if (microtime(true) > $until) exit;
            continue;
        }
        if ($chunk->isLast()) {
            file_put_contents('seen', "$kind: the client takes it for the end\n", FILE_APPEND);
            exit;
        }
    }
}
PHP
node server.mjs >port & server=$!
until [ -s port ]; do sleep 0.1; done
for kind in "lost before an event" "lost after an event" ended quiet; do
  php -d include_path="$dir/root/usr/share/php" listen.php "$(<port)" "$kind" 5 2>/dev/null
done
cat seen
cat >expected <<'TXT'
lost before an event: request 1, Last-Event-ID 5
lost before an event: request 2, Last-Event-ID none
lost after an event: request 1, Last-Event-ID 5
lost after an event: request 2, Last-Event-ID 6
ended: request 1, Last-Event-ID 5
ended: the client takes it for the end
quiet: request 1, Last-Event-ID 5
quiet: the client has cut the connection
quiet: request 2, Last-Event-ID 6
TXT
diff expected seen
