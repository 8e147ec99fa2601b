#!/usr/bin/env bash
# PyPI: gevent-websocket 0.10.1 (with gevent 26.9.0) and the WebSocket of eventlet 0.41.3, which Flask and other WSGI programs use; simple-websocket 1.1.0 under Werkzeug 3.1.8 next to them. The
# client is websockets 17.4. Python 3.
# Guess: a server that closes with a code of its own, 4001 for "do not come back", tells its client so (RFC 6455, section 5.5.1), with or without a reason. A handler that raises ends with
# 1011 or a lost connection, and a client that closes with 4001 is answered with a close frame.
# Seen: gevent-websocket's close() takes a code and never sends it. The reason goes out in its place, so its first two letters are read as the code: the client takes that for
# a fault and sees 1006, as after a lost connection; without a reason it sees 1005, as after an orderly goodbye. So clients that were told to stay away come back, again
# and again. A handler that raised looks like one that returned. (A correction from 2018 waits in a mirror of its sources, jgelens/gevent-websocket, pull request 6.)
# eventlet sends codes, but when a handler raises it writes "HTTP/1.1 500" into the open WebSocket, which the client takes for a broken frame: its log blames the
# protocol, or the network, not the server. simple-websocket does it right. Catch everything in a handler and close by yourself; with gevent-websocket, say in a message what a code would say.
# Needs python3 (3.10 or newer) with venv, and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
python3 -m venv venv
venv/bin/pip install -q gevent==26.9.0 gevent-websocket==0.10.1 eventlet==0.41.3 simple-websocket==1.1.0 werkzeug==3.1.8 websockets==17.4
cat >server.py <<'PY'
import os, sys

kind, port = sys.argv[1], int(sys.argv[2])

def handle(path, receive, close):
    if path == "/raised":
        raise RuntimeError
    if path == "/closed with 4001":
        close(4001, "")
    if path == "/closed with 4001 and a reason":
        close(4001, "not here")
    if path == "/closed by the client":
        receive()

def path_of(environ):
    return environ["PATH_INFO"].replace("%20", " ")

if kind == "gevent-websocket":
    from gevent import pywsgi
    from geventwebsocket.handler import WebSocketHandler

    def app(environ, start_response):
        socket = environ["wsgi.websocket"]
        handle(path_of(environ), socket.receive, socket.close)
        return []

    pywsgi.WSGIServer(("127.0.0.1", port), app, handler_class=WebSocketHandler, log=None, error_log=None).serve_forever()
elif kind == "eventlet":
    import eventlet
    from eventlet import websocket, wsgi

    @websocket.WebSocketWSGI
    def app(socket):
        handle(path_of(socket.environ), socket.wait, lambda code, reason: socket.close((code, reason)))

    wsgi.server(eventlet.listen(("127.0.0.1", port)), app, log=open(os.devnull, "w"))
else:
    from simple_websocket import ConnectionClosed, Server
    from werkzeug.serving import run_simple

    def app(environ, start_response):
        socket = Server(environ)
        try:
            handle(path_of(environ), socket.receive, socket.close)
            socket.close()
        except ConnectionClosed:
            pass
        raise ConnectionError  # As Flask-Sock does, so that Werkzeug says no more.

    run_simple("127.0.0.1", port, app, threaded=True)
PY
cat >client.py <<'PY'
import asyncio, sys
from urllib.parse import quote
import websockets

async def main(kind, port):
    for how in ("returned", "raised", "closed with 4001", "closed with 4001 and a reason", "closed by the client"):
        async with websockets.connect(f"ws://127.0.0.1:{port}/{quote(how)}", close_timeout=3) as socket:
            if how == "closed by the client":
                await socket.close(4001, "bye")
                print(f"{kind}, {how}: {'answered' if socket.protocol.close_rcvd else 'no answer'}")
            else:
                await socket.wait_closed()
                print(f"{kind}, {how}: {socket.close_code}")

asyncio.run(main(sys.argv[1], sys.argv[2]))
PY
for kind in gevent-websocket eventlet simple-websocket; do
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  venv/bin/python -W ignore server.py $kind "$port" >/dev/null 2>&1 & server=$!
  until (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.2; done
  venv/bin/python client.py $kind "$port"
  kill $server; wait $server 2>/dev/null || true
done | tee seen
cat >expected <<'TXT'
gevent-websocket, returned: 1005
gevent-websocket, raised: 1005
gevent-websocket, closed with 4001: 1005
gevent-websocket, closed with 4001 and a reason: 1006
gevent-websocket, closed by the client: no answer
eventlet, returned: 1005
eventlet, raised: 1006
eventlet, closed with 4001: 4001
eventlet, closed with 4001 and a reason: 4001
eventlet, closed by the client: answered
simple-websocket, returned: 1000
simple-websocket, raised: 1006
simple-websocket, closed with 4001: 4001
simple-websocket, closed with 4001 and a reason: 4001
simple-websocket, closed by the client: answered
TXT
diff expected seen
