#!/usr/bin/env bash
# PyPI: Granian 2.8.9 and Hypercorn 0.18.0, two ASGI servers, seen by a client made with websockets 17.4; uvicorn 0.54.0 next to them.
# Guess: when the handler of a WebSocket raises, its client sees 1011 (RFC 6455, section 7.4.1) or a lost connection, and at SIGTERM 1001 or 1012.
# Seen: Granian ends a handler that raised with a close frame without a code, 1005, the same as one that returned. Many clients take 1005 for an
# orderly end: the loop `async for message in socket` of websockets just ends, without an exception. At SIGTERM it sends no
# close frame. Hypercorn does it the other way round: 1011, an internal error, for every handler that returned and for each deploy.
# uvicorn ends a failed handler without a close frame, and sends 1012 at SIGTERM.
# Needs python3 (3.11 or newer) with venv, and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap '[ -n "$server" ] && kill "$server" 2>/dev/null; rm -rf "$dir"' EXIT
python3 -m venv venv
venv/bin/pip install -q hypercorn==0.18.0 uvicorn==0.54.0 granian==2.8.9 websockets==17.4
cat >asgi.py <<'PY'
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": event + ".complete"})
            if event == "lifespan.shutdown":
                return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "hello"})
    event = await receive()
    if event.get("text") == "raise":
        raise RuntimeError("the handler has failed")
    while event.get("text") == "stay":
        event = await receive()
PY
cat >client.py <<'PY'
import asyncio, os, signal, sys
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

async def main() -> None:
    for what in ("raise", "return", "stay"):
        for _ in range(100):
            try:
                socket = await connect(f"ws://127.0.0.1:{sys.argv[1]}/", compression=None)
                break
            except OSError:
                await asyncio.sleep(0.2)
        await socket.recv()
        await socket.send(what)
        if what == "stay":
            os.kill(int(sys.argv[2]), signal.SIGTERM)
        loop = "the loop ends"
        try:
            async with asyncio.timeout(20):
                async for _ in socket:
                    pass
        except ConnectionClosed:
            loop = "the loop raises"
        except TimeoutError:
            loop = "nothing happens for 20 s"
        code = socket.close_code
        print(f"{ {'raise': 'raises', 'return': 'returns', 'stay': 'is there at SIGTERM'}[what] }: {code}, {loop}", flush=True)

asyncio.run(main())
PY
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
show() {
  local name=$1; shift
  "$@" >/dev/null 2>&1 & server=$!
  venv/bin/python client.py "$port" "$server" | sed "s/^/$name, handler /" | tee -a seen
  wait "$server" 2>/dev/null || true; server=
}
show Granian venv/bin/granian --interface asgi --port "$port" asgi:app
show Hypercorn venv/bin/hypercorn --bind "127.0.0.1:$port" asgi:app
show uvicorn venv/bin/uvicorn --port "$port" asgi:app
cat >expected <<'TXT'
Granian, handler raises: 1005, the loop ends
Granian, handler returns: 1005, the loop ends
Granian, handler is there at SIGTERM: 1006, the loop raises
Hypercorn, handler raises: 1011, the loop raises
Hypercorn, handler returns: 1011, the loop raises
Hypercorn, handler is there at SIGTERM: 1011, the loop raises
uvicorn, handler raises: 1006, the loop raises
uvicorn, handler returns: 1006, the loop raises
uvicorn, handler is there at SIGTERM: 1012, the loop raises
TXT
diff expected seen
