#!/usr/bin/env bash
# python-socketio 5.18.1 with python-engineio 4.15.1 (PyPI), socketio.Client, the one with threads; socket.io-client 4.8.4 (npm, Node) next to it. The server is npm's socket.io 4.8.4.
# Guess: a handler gets the events of a connection one after the other, in the order in which Socket.IO guarantees their arrival, and the next one when it has returned, as in
# every client that calls a blocking handler from its reader.
# Seen: each event gets a thread of its own, and nothing says so: the server has async_handlers, the client has no such option. Of ten events of which each takes less time to
# store than the one before, the last is stored first and the first last, so that the oldest state wins; a burst of 300 events to a handler that takes 0.2 seconds
# has hundreds of threads. Handlers that take the same time change places too. A handler that only puts the event into a queue.Queue had 3,000 of 3,000 in order; take them out in one thread.
# Needs python3 with venv, Node, npm and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
python3 -m venv venv
venv/bin/pip install -q 'python-socketio[client]==5.18.1' python-engineio==4.15.1 websocket-client==1.9.2
npm init -y >/dev/null
npm install --silent --no-audit --no-fund socket.io@4.8.4 socket.io-client@4.8.4 >/dev/null
cat >server.mjs <<'JS'
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
new Server(http).on("connection", (socket) => {
  socket.on("go", (count) => {
    for (let number = 1; number <= count; number++) socket.emit("price", number);
  });
});
http.listen(0, "127.0.0.1", () => console.log(http.address().port));
JS
cat >client.py <<'PY'
import sys
import threading
import time
import socketio

client = socketio.Client()
stored, running, most = [], set(), 0

@client.on("price")
def price(number):
    global most
    running.add(threading.get_ident())
    most = max(most, len(running))
    time.sleep(0.2 if burst else 0.1 * (11 - number))
    running.discard(threading.get_ident())
    stored.append(number)

client.connect(f"http://127.0.0.1:{sys.argv[1]}")
burst = False
client.emit("go", 10)
time.sleep(3)
print("python-socketio: stored", *stored)
burst = True
client.emit("go", 300)
time.sleep(5)
print("python-socketio: more than 50 handlers at the same time:", most > 50)
client.disconnect()
PY
cat >client.mjs <<'JS'
import { io } from "socket.io-client";

const stored = [];
const socket = io(`http://127.0.0.1:${process.argv[2]}`);
socket.on("price", (number) => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10 * (11 - number));
  if (stored.push(number) < 10) return;
  console.log("socket.io-client: stored", ...stored);
  process.exit();
});
socket.on("connect", () => socket.emit("go", 10));
JS
node server.mjs >port & server=$!
until [ -s port ]; do sleep 0.1; done
{ timeout 30 venv/bin/python client.py "$(cat port)"; timeout 20 node client.mjs "$(cat port)"; } | tee seen
cat >expected <<'TXT'
python-socketio: stored 10 9 8 7 6 5 4 3 2 1
python-socketio: more than 50 handlers at the same time: True
socket.io-client: stored 1 2 3 4 5 6 7 8 9 10
TXT
diff expected seen
