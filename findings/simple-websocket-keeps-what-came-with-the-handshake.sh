#!/usr/bin/env bash
# simple-websocket 1.1.0 (PyPI; the maker's other libraries are Flask-Sock and python-socketio), its Client; websocket-client 1.9.2 next to it. Python 3.
# Guess: what a server sends right behind its handshake, in the same TCP segment, is a message like any other: a greeting, or a close frame with
# the reason why the client is not wanted. RFC 6455 (section 4.1) lets the server send as soon as it has accepted.
# Seen: simple-websocket reads that segment, looks for the handshake in it and leaves the rest until the next bytes arrive. A greeting is not
# delivered before the server says something else, and where the server waits for an answer to it, both wait for ever. A close frame that
# comes so is never seen: receive() goes on waiting on a connection that its server has closed, even after the end of the TCP stream.
# Needs python3 with venv, and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
python3 -m venv venv
venv/bin/pip install -q simple-websocket==1.1.0 wsproto==1.3.2 websocket-client==1.9.2
cat >probe.py <<'PY'
import base64, hashlib, os, socket, struct, threading, time
import simple_websocket, websocket

def text(message):
    return bytes([0x81, len(message)]) + message

CLOSE = bytes([0x88, 5]) + struct.pack(">H", 4001) + b"bye"
# What is sent together with the handshake, and what 3 seconds later.
CASES = {
    "message later": (b"", text(b"greeting")),
    "message with the handshake": (text(b"greeting"), b""),
    "two messages": (text(b"greeting"), text(b"next")),
    "close with the handshake": (CLOSE, b""),
}

def serve(listener, first, second):
    connection, _ = listener.accept()
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096)
    key = [line.split(": ")[1] for line in head.decode().split("\r\n") if line.lower().startswith("sec-websocket-key")][0]
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    answer = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    connection.sendall(answer.encode() + first)
    time.sleep(3)
    connection.sendall(second)
    if first == CLOSE:
        connection.close()
    time.sleep(10)

def simple(url):
    client = simple_websocket.Client(url)
    while True:
        received = client.receive(timeout=6)
        if received is None:
            return
        yield received

def common(url):
    client = websocket.create_connection(url, timeout=6)
    while True:
        opcode, data = client.recv_data()
        yield data.decode() if opcode == 1 else f"close {struct.unpack('>H', data[:2])[0]}"
        if opcode != 1:
            return

for library, read in (("simple-websocket", simple), ("websocket-client", common)):
    for name, (first, second) in CASES.items():
        listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=serve, args=(listener, first, second), daemon=True).start()
        start, seen = time.monotonic(), []
        try:
            for received in read(f"ws://127.0.0.1:{listener.getsockname()[1]}/"):
                seen.append(f"{received} {'at once' if time.monotonic() - start < 1.5 else 'late'}")
        except Exception:
            pass
        print(f"{library}, {name}: {', '.join(seen) or 'nothing'}", flush=True)
os._exit(0)
PY
venv/bin/python probe.py 2>/dev/null | tee seen
cat >expected <<'TXT'
simple-websocket, message later: greeting late
simple-websocket, message with the handshake: nothing
simple-websocket, two messages: greeting late, next late
simple-websocket, close with the handshake: nothing
websocket-client, message later: greeting late
websocket-client, message with the handshake: greeting at once
websocket-client, two messages: greeting at once, next late
websocket-client, close with the handshake: close 4001 at once
TXT
diff expected seen
