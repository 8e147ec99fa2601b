#!/usr/bin/env bash
# Daphne 4.2.3 (PyPI), the ASGI server of Django Channels; Hypercorn 0.18.0, uvicorn 0.54.0 and Granian 2.8.9 next to it.
# Guess: when the handler of an event stream raises in the middle of it, the connection is cut, so that its client reconnects.
# Seen: Hypercorn, uvicorn and Granian cut it. Daphne logs the exception and leaves the connection open, without the rest and without an
# end: 15 seconds later it is still there, and so it is when the handler just returns without an end. An EventSource stays in the state OPEN
# and never hears anything again; only a client with a read timeout notices. A WebSocket of a handler that returns stays open likewise.
# Needs python3 with venv, and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap '[ -n "$server" ] && kill "$server" 2>/dev/null; rm -rf "$dir"' EXIT
python3 -m venv venv
venv/bin/pip install -q daphne==4.2.3 hypercorn==0.18.0 uvicorn==0.54.0 granian==2.8.9
cat >asgi.py <<'PY'
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": event + ".complete"})
            if event == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"id: 1\ndata: one\n\n", "more_body": True})
    await asyncio.sleep(0.3)
    if scope["path"] == "/raises":
        raise RuntimeError("the source of the events is gone")
PY
cat >client.py <<'PY'
import socket, sys, time

for path in ("/raises", "/returns"):
    for _ in range(100):
        try:
            conn = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
            break
        except OSError:
            time.sleep(0.2)
    conn.sendall(f"GET {path} HTTP/1.1\r\nHost: server\r\nAccept: text/event-stream\r\n\r\n".encode())
    conn.settimeout(15)
    body = b""
    try:
        while chunk := conn.recv(4096):
            body += chunk
        ending = "complete" if body.endswith(b"0\r\n\r\n") else "cut"
    except TimeoutError:
        ending = "still open after 15 s"
    except OSError:
        ending = "cut"
    print(f"{path[1:]}: event {'received' if b'data: one' in body else 'missing'}, {ending}", flush=True)
PY
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
show() {
  local name=$1; shift
  "$@" >/dev/null 2>&1 & server=$!
  venv/bin/python client.py "$port" | sed "s/^/$name, handler /" | tee -a seen
  kill "$server"; wait "$server" 2>/dev/null || true; server=
}
show Daphne venv/bin/daphne -b 127.0.0.1 -p "$port" asgi:app
show Hypercorn venv/bin/hypercorn --bind "127.0.0.1:$port" asgi:app
show uvicorn venv/bin/uvicorn --port "$port" asgi:app
show Granian venv/bin/granian --interface asgi --port "$port" asgi:app
cat >expected <<'TXT'
Daphne, handler raises: event received, still open after 15 s
Daphne, handler returns: event received, still open after 15 s
Hypercorn, handler raises: event received, cut
Hypercorn, handler returns: event received, cut
uvicorn, handler raises: event received, cut
uvicorn, handler returns: event received, cut
Granian, handler raises: event received, cut
Granian, handler returns: event received, cut
TXT
diff expected seen
