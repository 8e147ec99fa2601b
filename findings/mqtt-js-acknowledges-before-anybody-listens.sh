#!/usr/bin/env bash
# mqtt 5.16.0 (npm), connectAsync(); aiomqtt 2.5.1 (PyPI) next to it. The broker is Debian's mosquitto (2.0.11 when seen).
# Guess: a client with a session that outlives its connection (clean: false, QoS 1) gets what was published while it was away: the program awaits
# connectAsync(), sets its "message" handler in the next line, and no message is acknowledged before it has seen it.
# Seen: the broker sends what waited right behind its CONNACK. Whatever arrives together with that is read, acknowledged and handed to nobody before
# connectAsync() resolves: in most rounds all of it, in others nothing, as the network has it. The broker forgets it, the program never hears of it. With
# connect(), and the handler set before the connection is there, all arrive. aiomqtt keeps them until the program asks.
# Needs Node, npm, python3 with venv, mosquitto and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; broker=
trap 'kill $broker 2>/dev/null || true; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund mqtt@5.16.0 >/dev/null
python3 -m venv venv
venv/bin/pip install -q aiomqtt==2.5.1
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$port" >mosquitto.conf
PATH=$PATH:/usr/sbin mosquitto -c mosquitto.conf >log 2>&1 & broker=$!
cat >publish.mjs <<'JS'
import { connectAsync } from "mqtt";

const writer = await connectAsync(`mqtt://127.0.0.1:${process.argv[2]}`);
for (const text of process.argv.slice(3)) await writer.publishAsync("news", text, { qos: 1 });
await writer.endAsync();
JS
cat >read.mjs <<'JS'
import { connect, connectAsync } from "mqtt";

const url = `mqtt://127.0.0.1:${process.argv[2]}`;
const writer = await connectAsync(url);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
for (const how of ["connectAsync", "connect"]) {
  const options = { clientId: how, clean: false };
  const before = await connectAsync(url, options);
  await before.subscribeAsync("news", { qos: 1 });
  await before.endAsync();
  let lost = 0;
  for (let round = 0; round < 20; round++) {
    for (const text of ["1", "2", "3"]) await writer.publishAsync("news", text, { qos: 1 });
    const seen = [];
    const reader = how === "connect" ? connect(url, options) : await connectAsync(url, options);
    reader.on("message", (_, message) => seen.push(message.toString()));
    await pause(300);
    await reader.endAsync();
    if (seen.length < 3) lost++;
  }
  console.log(`mqtt, ${how}: messages lost in ${lost === 0 ? "none" : "some"} of 20 rounds`);
}
process.exit();
JS
cat >read.py <<'PY'
import asyncio, subprocess, sys
from aiomqtt import Client

port = sys.argv[1]

def client():
    return Client("127.0.0.1", int(port), identifier="aiomqtt", clean_session=False)

def publish(*texts):
    subprocess.run(["node", "publish.mjs", port, *texts], check=True)

async def main():
    async with client() as reader:
        await reader.subscribe("news", qos=1)
    publish("away 1", "away 2", "away 3")
    seen = []
    async with client() as reader:
        await asyncio.sleep(1)
        publish("later")
        async for message in reader.messages:
            seen.append(message.payload.decode())
            if seen[-1] == "later":
                break
    print(f"aiomqtt: {', '.join(seen)}")

asyncio.run(asyncio.wait_for(main(), 20))
PY
for _ in {1..100}; do (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
{ timeout 60 node read.mjs "$port"; timeout 60 venv/bin/python read.py "$port"; } | tee seen
cat >expected <<'TXT'
mqtt, connectAsync: messages lost in some of 20 rounds
mqtt, connect: messages lost in none of 20 rounds
aiomqtt: away 1, away 2, away 3, later
TXT
diff expected seen
