#!/usr/bin/env bash
# QWebSocket of Qt 6.9 (PyPI PyQt6 6.9.1, PyQt6-Qt6 6.9.2; Qt 5.15.8 of Debian 12 does the same), in Python.
# Guess: a connection that ends without a close frame is reported as 1006, as RFC 6455 (section 7.1.5) and every browser do.
# Seen: errorOccurred says RemoteHostClosedError, but closeCode() is 1000 (CloseCodeNormal). A program that reconnects
# "unless the code is 1000" takes a server that died for an orderly goodbye and stays away; a real code such as 4001 comes through.
# Needs python3 with venv, and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
python3 -m venv venv
venv/bin/pip install -q PyQt6==6.9.1 PyQt6-Qt6==6.9.2 PyQt6-sip==13.10.2
cat >server.py <<'PY'
import base64, hashlib, socket, struct, threading, time

def serve(conn):
    head = b""
    while b"\r\n\r\n" not in head:
        head += conn.recv(4096)
    text = head.decode()
    key = [line.split(": ")[1] for line in text.split("\r\n") if line.lower().startswith("sec-websocket-key")][0]
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    conn.sendall(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    time.sleep(0.5)
    if "GET /orderly" in text:
        reason = struct.pack(">H", 4001) + b"bye"
        conn.sendall(bytes([0x88, len(reason)]) + reason)
        time.sleep(0.5)
    conn.close()

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    conn, _ = listener.accept()
    threading.Thread(target=serve, args=(conn,), daemon=True).start()
PY
cat >client.py <<'PY'
import sys
from PyQt6.QtCore import QCoreApplication, QTimer, QUrl
from PyQt6.QtWebSockets import QWebSocket

app = QCoreApplication([])
socket = QWebSocket()
errors = []
socket.errorOccurred.connect(lambda error: errors.append(error.name))

def ended():
    code = socket.closeCode()
    print(getattr(code, "value", code), *errors, flush=True)
    app.quit()

socket.disconnected.connect(ended)
socket.open(QUrl(sys.argv[1]))
QTimer.singleShot(10_000, app.quit)
app.exec()
PY
python3 server.py >port & server=$!
trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
until [ -s port ]; do sleep 0.1; done
orderly=$(venv/bin/python client.py "ws://127.0.0.1:$(cat port)/orderly" 2>/dev/null)
lost=$(venv/bin/python client.py "ws://127.0.0.1:$(cat port)/lost" 2>/dev/null)
echo "closed with 4001:             $orderly"
echo "lost, without a close frame:  $lost"
[[ "$orderly" == 4001* && "$lost" == "1000 RemoteHostClosedError" ]]
