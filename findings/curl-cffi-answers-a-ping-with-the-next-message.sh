#!/usr/bin/env bash
# curl_cffi 0.17.0 (PyPI, with libcurl 8.23.0 in it), its WebSockets: Session.ws_connect, AsyncSession.ws_connect and WebSocket.run_forever, Python 3; websocket-client 1.9.2 next to it.
# Guess: a client that waits for messages answers a ping by itself, "as soon as is practical" (RFC 6455, section 5.5.2: MUST); the documentation says that replies to pings are automatic.
# Seen: the answer waits until the next frame arrives or is sent, in all three, though the program is in recv() all the time. So a connection that is busy answers its pings, late, and
# one that is quiet is cut by every server that pings and counts the answers: websockets and uvicorn close it with 1011 after 40 seconds. It looks like a network that
# fails whenever there is nothing to say. The program never hears of a ping, so it can only send something itself, more often than the server's limit; ping() will do.
# websocket-client answers each ping at once.
# Needs python3 with venv, and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
python3 -m venv venv
venv/bin/pip install -q curl_cffi==0.17.0 websocket-client==1.9.2 websockets==17.4
cat >run.py <<'PY'
import asyncio
import threading

import curl_cffi
import websocket
import websockets.sync.server

answers = []

def talk(socket):
    ping = socket.ping()
    answers.append("answered at once" if ping.wait(timeout=3) else "not answered for 3 seconds")
    socket.send("message")
    answers.append("answered" if ping.wait(timeout=3) else "not answered")
    socket.send("end")

server = websockets.sync.server.serve(talk, "127.0.0.1", 0, ping_interval=None)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"

def in_a_session(got):
    with curl_cffi.Session() as session:
        socket = session.ws_connect(url)
        while "end" not in got:
            got.append(socket.recv(timeout=20)[0].decode())

async def in_an_async_session(got):
    async with curl_cffi.AsyncSession() as session:
        socket = await session.ws_connect(url)
        while "end" not in got:
            got.append((await socket.recv())[0].decode())

def run_forever(got):
    curl_cffi.WebSocket(on_message=lambda socket, message: got.append(message)).run_forever(url)

def with_websocket_client(got):
    websocket.WebSocketApp(url, on_message=lambda socket, message: got.append(message)).run_forever()

clients = {
    "Session.ws_connect": in_a_session,
    "AsyncSession.ws_connect": lambda got: asyncio.run(in_an_async_session(got)),
    "WebSocket.run_forever": run_forever,
    "websocket-client": with_websocket_client,
}
for name, client in clients.items():
    got = []
    client(got)
    print(f"{name}: {answers[0]}, after a message {answers[1]}", flush=True)
    answers.clear()
PY
timeout 90 venv/bin/python run.py 2>/dev/null | tee seen
cat >expected <<'TXT'
Session.ws_connect: not answered for 3 seconds, after a message answered
AsyncSession.ws_connect: not answered for 3 seconds, after a message answered
WebSocket.run_forever: not answered for 3 seconds, after a message answered
websocket-client: answered at once, after a message answered
TXT
diff expected seen
