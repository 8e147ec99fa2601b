#!/usr/bin/env bash
# niquests 3.21.2, aiohttp 3.14.5 and Tornado 6.6.1 (PyPI), their WebSocket clients, Python 3; websockets 17.4 and trio-websocket 0.12.2 next to them.
# Guess: a program can tell how a WebSocket ended: 1012 and a reason, 1005 for a close frame without a code, which is what close() of a browser and of most libraries
# sends, and 1006 for a connection that was lost (RFC 6455, sections 7.1.5 and 7.4.1).
# Seen: niquests hands out None for every end, as it does in its documentation's loop for "closed": there is no code and no reason, and a server that is killed, one that
# restarts (1012) and one that refuses for good (4001) look the same. aiohttp says 1006, "abnormal closure", for a close frame without a code too, and Tornado says None for both, so an
# orderly goodbye looks like a network that failed, or the other way round. A program that reconnects "only after a failure", or for everything but its server's own codes, has to
# be given codes by its server; with niquests it cannot be done at all. The other two say 1005 and 1006.
# Needs python3 with venv, and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
python3 -m venv venv
venv/bin/pip install -q 'niquests[ws]==3.21.2' aiohttp==3.14.5 tornado==6.6.1 websockets==17.4 trio-websocket==0.12.2
cat >run.py <<'PY'
import asyncio
import threading

import aiohttp
import niquests
import tornado.websocket
import trio
import trio_websocket
import websockets
from websockets.asyncio.server import serve

async def end(socket):
    how = socket.request.path[1:]
    await socket.send("hello")
    await asyncio.sleep(0.3)
    if how == "died":
        socket.transport.abort()
    elif how == "none":
        socket.protocol.send_close()
        socket.transport.write(b"".join(socket.protocol.data_to_send()))
    else:
        await socket.close(int(how), "the reason")
    await socket.wait_closed()

ready = threading.Event()

def run_server():
    async def main():
        global url
        async with serve(end, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            ready.set()
            await asyncio.Future()
    asyncio.run(main())

def with_niquests(how):
    with niquests.Session() as session:
        socket = session.get(url + how).extension
        while socket.next_payload() is not None:
            pass
        return [value for name, value in vars(socket).items() if "code" in name or "reason" in name] or None

async def with_aiohttp(how):
    async with aiohttp.ClientSession() as session, session.ws_connect(url + how) as socket:
        async for _ in socket:
            pass
        return int(socket.close_code)

async def with_tornado(how):
    socket = await tornado.websocket.websocket_connect(url + how)
    while await socket.read_message() is not None:
        pass
    return socket.close_code

async def with_websockets(how):
    async with websockets.connect(url + how) as socket:
        try:
            while True:
                await socket.recv()
        except websockets.ConnectionClosed:
            return int(socket.close_code)

async def with_trio(how):
    async with trio_websocket.open_websocket_url(url + how) as socket:
        try:
            while True:
                await socket.get_message()
        except trio_websocket.ConnectionClosed as closed:
            return int(closed.reason.code)

threading.Thread(target=run_server, daemon=True).start()
ready.wait()
clients = {
    "niquests": with_niquests,
    "aiohttp": lambda how: asyncio.run(with_aiohttp(how)),
    "tornado": lambda how: asyncio.run(with_tornado(how)),
    "websockets": lambda how: asyncio.run(with_websockets(how)),
    "trio-websocket": lambda how: trio.run(with_trio, how),
}
for name, client in clients.items():
    print(f"{name}:", ", ".join(f"{how} {client(how)}" for how in ["1012", "4001", "none", "died"]), flush=True)
PY
timeout 90 venv/bin/python run.py 2>err | tee seen
cat >expected <<'TXT'
niquests: 1012 None, 4001 None, none None, died None
aiohttp: 1012 1012, 4001 4001, none 1006, died 1006
tornado: 1012 1012, 4001 4001, none None, died None
websockets: 1012 1012, 4001 4001, none 1005, died 1006
trio-websocket: 1012 1012, 4001 4001, none 1005, died 1006
TXT
diff expected seen
