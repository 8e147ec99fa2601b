#!/usr/bin/env bash
# Debian's Chromium (156 when seen), headless; the server is npm's ws 8.23.0 and Node's http.
# Guess: whoever follows a link away from a page has left it: its WebSocket and its EventSource end, and the server knows at once. Whoever comes back with
# "back" gets the page anew, and with it new connections.
# Seen: the page is put aside, whole, and both connections stay open for a minute; the browser goes on answering pings, so for the server the user is there
# and gets everything. Back within that minute, the page goes on where it was. Its EventSource has everything that came meanwhile. Its WebSocket is
# closed only then: the server sees 1001, the page 1006, and the page gets nothing of what was sent in between, although it was sent, and pings behind it answered.
# So a page should close its WebSocket in "pagehide", open another one in "pageshow", and ask for what it missed.
# Needs Node, npm, chromium and their registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=; browser=
trap 'kill $browser $server 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ws@8.23.0 >/dev/null
# Both connections count up twice a second from the moment when they open. The page is left after 2 seconds, and comes back 6 seconds later.
cat >page.html <<'HTML'
<!doctype html>
<script>
const events = [], messages = [];
const stream = new EventSource("/events");
stream.onmessage = ({ data }) => events.push(Number(data));
const socket = new WebSocket(`ws://${location.host}/socket`);
socket.onmessage = ({ data }) => messages.push(Number(data));
let code;
socket.onclose = (event) => (code = event.code);
addEventListener("pageshow", ({ persisted }) => {
  if (!persisted) return setTimeout(() => (location = "/other"), 2000);
  const readyState = stream.readyState;
  setTimeout(() => navigator.sendBeacon("/report", JSON.stringify({ readyState, events, messages, code })), 2000);
});
</script>
HTML
echo '<!doctype html><script>setTimeout(() => history.back(), 6000)</script>' >other.html
cat >server.mjs <<'JS'
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { WebSocketServer } from "ws";

const away = { sent: 0, pongs: 0 };
let isAway = false;
let closedWhileAway = false;
let code;
const every = (send) => {
  let n = 0;
  return setInterval(() => send(++n), 500);
};
const server = createServer(async (request, response) => {
  if (request.url === "/events") {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const timer = every((n) => response.write(`data: ${n}\n\n`));
    response.on("close", () => clearInterval(timer));
  } else if (request.url === "/report") {
    const page = JSON.parse(await text(request));
    const whole = page.events.every((n, index) => n === index + 1);
    console.log(`away: ${away.sent > 8 ? "more than 8" : away.sent} messages sent, ${away.pongs > 4 ? "more than 4" : away.pongs} pings answered, closed: ${closedWhileAway}`);
    console.log(`back: EventSource is ${["connecting", "open", "closed"][page.readyState]} and has ${whole && page.events.length > 16 ? "everything" : "gaps"}`);
    console.log(`back: WebSocket has ${page.messages.length < 6 ? "nothing from meanwhile" : "more"}; it was closed, for the server with ${code}, for the page with ${page.code}`);
    process.exit();
  } else {
    if (request.url === "/other") {
      isAway = true;
      setTimeout(() => (isAway = false), 5500);
    }
    response.writeHead(200, { "content-type": "text/html" });
    response.end(readFileSync(request.url === "/other" ? "other.html" : "page.html"));
  }
});
new WebSocketServer({ server, path: "/socket" }).on("connection", (socket) => {
  const timer = every((n) => {
    socket.send(String(n));
    socket.ping();
    away.sent += isAway;
  });
  socket.on("pong", () => (away.pongs += isAway));
  socket.on("close", (closed) => {
    clearInterval(timer);
    code = closed;
    closedWhileAway = isAway;
  });
});
server.listen(0, "127.0.0.1", () => console.error(server.address().port));
JS
timeout 60 node server.mjs >seen 2>port & server=$!
until [ -s port ]; do sleep 0.1; done
timeout 60 chromium --headless=new --no-sandbox --disable-gpu --user-data-dir="$dir/profile" --remote-debugging-port=0 "http://127.0.0.1:$(cat port)/" >/dev/null 2>&1 & browser=$!
wait $server || true
cat seen
cat >expected <<'TXT'
away: more than 8 messages sent, more than 4 pings answered, closed: false
back: EventSource is open and has everything
back: WebSocket has nothing from meanwhile; it was closed, for the server with 1001, for the page with 1006
TXT
diff expected seen
