#!/usr/bin/env bash
# httpx-ws 0.9.0 (PyPI, with httpx 0.28.1), connect_ws and aconnect_ws, Python 3; websockets 17.4 next to it.
# Guess: a pong that nobody asked for is "a unidirectional heartbeat" (RFC 6455, section 5.5.3) that needs no answer, as ASP.NET Core's servers send it to every client
# unless told otherwise. Messages go on.
# Seen: the client looks up which of its pings the pong answers and fails in its reading thread when there is none. With connect_ws that thread ends with a trace on stderr and nothing
# else: receive_text() waits, no message comes any more, nothing is raised in the program, and send_text() still works. The server notices that its pings
# are not answered; where it only sends pongs, nobody does, until the client's own ping has waited for its answer, 40 seconds after the start by default.
# aconnect_ws ends with an ExceptionGroup around a KeyError, which handlers for WebSocketDisconnect and WebSocketNetworkError do not catch. An empty pong does the same as one with text.
# Needs python3 (3.11 or newer) with venv, and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
python3 -m venv venv
venv/bin/pip install -q httpx-ws==0.9.0 httpx==0.28.1 websockets==17.4
cat >run.py <<'PY'
import asyncio
import queue
import threading

import httpx_ws
import websockets
import websockets.sync.server

threading.excepthook = lambda args: print(f"  (its thread ended with {args.exc_type.__name__})")

def talk(socket):
    socket.send("before")
    socket.pong(b"")
    for number in range(5):
        socket.send(f"after {number}")
    try:
        print("  the server still gets:", socket.recv(timeout=6))
    except Exception as error:
        print("  the server gets:", type(error).__name__)

server = websockets.sync.server.serve(talk, "127.0.0.1", 0)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"

def with_httpx_ws():
    with httpx_ws.connect_ws(url) as socket:
        got = [socket.receive_text()]
        try:
            while True:
                got.append(socket.receive_text(timeout=3))
        except queue.Empty:
            print("connect_ws:", got, "and then nothing for 3 seconds")
        socket.send_text("I am here")
        threading.Event().wait(1)

async def with_httpx_ws_async():
    got = []
    try:
        async with httpx_ws.aconnect_ws(url) as socket:
            while len(got) < 6:
                got.append(await socket.receive_text(timeout=3))
    except* KeyError as group:
        print("aconnect_ws:", got, "and then", type(group.exceptions[0]).__name__)

async def with_websockets():
    async with websockets.connect(url) as socket:
        print("websockets:", [await asyncio.wait_for(socket.recv(), 3) for _ in range(6)])
        await socket.send("I am here")

with_httpx_ws()
asyncio.run(with_httpx_ws_async())
asyncio.run(with_websockets())
PY
timeout 60 venv/bin/python run.py 2>/dev/null | tee seen
grep -q "^  (its thread ended with KeyError)" seen
grep -q "^connect_ws: \['before'\] and then nothing for 3 seconds" seen
grep -q "^  the server still gets: I am here" seen
grep -q "^aconnect_ws: .* and then KeyError" seen
grep -q "^websockets: \['before', 'after 0', 'after 1', 'after 2', 'after 3', 'after 4'\]" seen
