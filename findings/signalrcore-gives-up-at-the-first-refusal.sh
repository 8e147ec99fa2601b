#!/usr/bin/env bash
# signalrcore 1.0.2 (PyPI), a client of ASP.NET Core's SignalR, with_automatic_reconnect as in its documentation: type "raw", reconnect_interval 1, max_attempts 10; pysignalr 1.3.3 next
# to it. The server speaks SignalR's JSON protocol and is made with aiohttp 3.14.5.
# Guess: a client that is told to try ten times, once a second, is back after a restart that takes four seconds, and says so when it gives up.
# Seen: it is back when the server is there at once. When the first try is refused (nobody listens, or a proxy answers 503), the others are not made: it stays away for good, though the
# server is back. Neither on_close, on_reconnect nor on_error is called, so the program cannot know. Its log has an AttributeError, and then a line for each ping that it cannot send; send()
# raises nothing. A deploy that takes no time brings all clients back, one that takes a second loses them. pysignalr comes back.
# Needs python3 with venv, and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
python3 -m venv venv
venv/bin/pip install -q signalrcore==1.0.2 pysignalr==1.3.3 aiohttp==3.14.5
cat >run.py <<'PY'
import asyncio
import json
import logging
import os
import sys
import threading
import time

from aiohttp import web

logging.disable(logging.CRITICAL)
library, away = sys.argv[1], float(sys.argv[2])
connections, calls, heard = 0, [], []
address = threading.Event()

async def negotiate(request):
    transports = [{"transport": "WebSockets", "transferFormats": ["Text", "Binary"]}]
    return web.json_response({"connectionId": "c", "connectionToken": "t", "negotiateVersion": 1, "availableTransports": transports})

async def hub(request):
    global connections
    connections += 1
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.receive()
    await socket.send_str("{}\x1e")
    sockets.append(request.transport)
    try:
        for number in range(200):
            await socket.send_str(json.dumps({"type": 1, "target": "news", "arguments": [f"connection {connections}"]}) + "\x1e")
            await asyncio.sleep(0.3)
    except ConnectionError:
        pass
    return socket

sockets = []

async def serve():
    global port
    app = web.Application()
    app.router.add_post("/hub/negotiate", negotiate)
    app.router.add_get("/hub", hub)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    address.set()
    while not sockets:
        await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    if away:
        await site.stop()
    for transport in sockets:
        transport.abort()
    if away:
        await asyncio.sleep(away)
        await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Future()

threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
address.wait()
url = f"http://127.0.0.1:{port}/hub"
if library == "signalrcore":
    from signalrcore.hub_connection_builder import HubConnectionBuilder

    retry = {"type": "raw", "keep_alive_interval": 10, "reconnect_interval": 1, "max_attempts": 10}
    client = HubConnectionBuilder().with_url(url).with_automatic_reconnect(retry).build()
    client.on("news", lambda arguments: heard.append(arguments[0]))
    client.on_close(lambda: calls.append("on_close"))
    client.on_reconnect(lambda: calls.append("on_reconnect"))
    client.on_error(lambda error: calls.append("on_error"))
    client.start()
    time.sleep(16)
    try:
        client.send("anything", [1])
        sent = "send() raised nothing"
    except Exception as error:
        sent = f"send() raised {type(error).__name__}"
else:
    from pysignalr.client import SignalRClient

    async def run():
        client = SignalRClient(url)
        async def news(arguments):
            heard.append(arguments[0])
        client.on("news", news)
        try:
            await asyncio.wait_for(client.run(), 16)
        except asyncio.TimeoutError:
            pass

    asyncio.run(run())
    sent = "-"
print(f"{library}, away for {away:.0f} s: heard {', '.join(sorted(set(heard)))}; called {', '.join(calls) or 'nothing'}; {sent}", flush=True)
os._exit(0)
PY
for library in signalrcore pysignalr; do for away in 0 4; do timeout 40 venv/bin/python run.py $library $away 2>/dev/null | grep "^$library" >"seen.$library.$away" & done; done
wait
cat seen.signalrcore.* seen.pysignalr.* | tee seen
cat >expected <<'TXT'
signalrcore, away for 0 s: heard connection 1, connection 2; called on_reconnect; send() raised nothing
signalrcore, away for 4 s: heard connection 1; called nothing; send() raised nothing
pysignalr, away for 0 s: heard connection 1, connection 2; called nothing; -
pysignalr, away for 4 s: heard connection 1, connection 2; called nothing; -
TXT
diff expected seen
