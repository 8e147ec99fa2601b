#!/usr/bin/env bash
# npm: @nats-io/transport-node 3.4.0 (NATS for Node); PyPI: nats-py 2.16.0 next to it; nats-server 2.12.1 (Go). Node 20.
# Guess: what is published while the server is away waits in the client, up to a limit, and goes out when the client has reconnected, as
# in the other official clients. Its maintainers say the same: what is published after the disconnect is sent later.
# Seen: publish() returns, and the message is dropped, without an error or a status event, also when the server is back already and
# only the client has not reconnected yet: each attempt to connect empties the buffer. The first message after it has reconnected arrives.
# flush() is rejected. nats-py sends all of them, in order (nats.go 1.55.0 does so too).
# Needs Node, npm, Go, python3 with venv, and their registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; mkdir bin
trap 'kill $(cat server.pid 2>/dev/null) 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @nats-io/transport-node@3.4.0 >/dev/null
python3 -m venv venv
venv/bin/pip install -q nats-py==2.16.0
GOBIN=$dir/bin GOTOOLCHAIN=local go install github.com/nats-io/nats-server/v2@v2.12.1 2>/dev/null
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# The server is there, away from "down" on, and there again from "up" on.
cat >server.sh <<'BASH'
if [ "$1" = down ]; then kill -9 "$(cat server.pid)"; else bin/nats-server -a 127.0.0.1 -p "$2" >/dev/null 2>&1 & echo $! >server.pid; fi
BASH
cat >client.mjs <<'JS'
import { execFileSync } from "node:child_process";
import { connect } from "@nats-io/transport-node";

const port = process.argv[2];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const server = (what) => execFileSync("bash", ["server.sh", what, port], { stdio: "ignore" });
server("up");
await pause(1_000);
const options = { servers: `127.0.0.1:${port}`, maxReconnectAttempts: -1, reconnectJitter: 0 };
const reader = await connect({ ...options, reconnectTimeWait: 100 });
const writer = await connect({ ...options, reconnectTimeWait: 3_000 });
const seen = [];
reader.subscribe("news", { callback: (_, message) => seen.push(message.string()) });
await reader.flush();
writer.publish("news", "before");
await writer.flush();
server("down");
await pause(500);
writer.publish("news", "server away");
server("up");
await pause(1_000);
writer.publish("news", "server back");
await pause(5_000);
writer.publish("news", "reconnected");
await writer.flush();
await pause(500);
console.log(`nats.js: ${seen.join(", ")}`);
process.exit();
JS
cat >client.py <<'PY'
import asyncio, subprocess, sys
import nats

port = sys.argv[1]

def server(what):
    subprocess.run(["bash", "server.sh", what, port], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

async def quiet(_):
    pass

async def main():
    server("up")
    await asyncio.sleep(1)
    url = f"nats://127.0.0.1:{port}"
    reader = await nats.connect(url, reconnect_time_wait=0.1, max_reconnect_attempts=-1, error_cb=quiet)
    writer = await nats.connect(url, reconnect_time_wait=3, max_reconnect_attempts=-1, error_cb=quiet)
    seen = []

    async def received(message):
        seen.append(message.data.decode())

    await reader.subscribe("news", cb=received)
    await reader.flush()
    await writer.publish("news", b"before")
    await writer.flush()
    server("down")
    await asyncio.sleep(0.5)
    await writer.publish("news", b"server away")
    server("up")
    await asyncio.sleep(1)
    await writer.publish("news", b"server back")
    await asyncio.sleep(5)
    await writer.publish("news", b"reconnected")
    await writer.flush()
    await asyncio.sleep(0.5)
    print(f"nats-py: {', '.join(seen)}")

asyncio.run(main())
PY
{
  timeout 60 node client.mjs "$port"
  bash server.sh down
  timeout 60 venv/bin/python client.py "$port"
} 2>/dev/null | tee seen
cat >expected <<'TXT'
nats.js: before, reconnected
nats-py: before, server away, server back, reconnected
TXT
diff expected seen
