#!/usr/bin/env bash
# Debian's mosquitto (2.0.11 when seen), with two lines of configuration; the client is mqtt 5.16.0 (npm), paho-mqtt 2.2.0 (PyPI) next to it. MQTT 3.1.1.
# Guess: QoS 2 means exactly once: of 100 messages that a program publishes in a row, each arrives, and is acknowledged when it does. MQTT 3.1.1
# has no limit for how many may be on their way, and mosquitto's queue holds 1,000 by default.
# Seen: mosquitto keeps the first 20 (its max_inflight_messages, which its manual explains as a limit for what it sends). It answers the others
# as if they were accepted too, PUBREC and PUBCOMP, and drops them: only MQTT 5 has a place in these packets for "quota exceeded". The client's
# callback is called without an error for each message. Nothing is logged either, unless mosquitto logs every packet. With QoS 1 all arrive, and
# with "max_inflight_messages 0" too. paho has at most 20 on their way, so it loses none, but what waits beyond that when a connection is lost is
# sent at once after it (seen by hand), and then it loses as well.
# Needs Node, npm, python3 with venv, mosquitto and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; broker=
trap 'kill $broker 2>/dev/null || true; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund mqtt@5.16.0 >/dev/null
python3 -m venv venv
venv/bin/pip install -q paho-mqtt==2.2.0
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$port" >mosquitto.conf
PATH=$PATH:/usr/sbin mosquitto -c mosquitto.conf >log 2>&1 & broker=$!
cat >publish.mjs <<'JS'
import { connectAsync } from "mqtt";

const url = `mqtt://127.0.0.1:${process.argv[2]}`;
for (const qos of [1, 2]) {
  const reader = await connectAsync(url);
  const seen = new Set();
  reader.on("message", (_, message) => seen.add(message.toString()));
  await reader.subscribeAsync("news", { qos });
  const writer = await connectAsync(url);
  const acknowledged = await Promise.allSettled(Array.from({ length: 100 }, (_, n) => writer.publishAsync("news", String(n), { qos })));
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  console.log(`mqtt, QoS ${qos}: of 100, ${acknowledged.filter(({ status }) => status === "fulfilled").length} acknowledged, ${seen.size} received`);
  await Promise.all([reader.endAsync(), writer.endAsync()]);
}
JS
cat >publish.py <<'PY'
import sys, time
from paho.mqtt.client import CallbackAPIVersion, Client

def connect():
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", int(sys.argv[1]))
    client.loop_start()
    return client

seen = set()
reader = connect()
reader.on_message = lambda client, data, message: seen.add(message.payload)
reader.subscribe("news", 2)
time.sleep(1)
writer = connect()
sent = [writer.publish("news", str(n), 2) for n in range(100)]
for one in sent:
    one.wait_for_publish(10)
time.sleep(1)
print(f"paho, QoS 2: of 100, {sum(one.is_published() for one in sent)} acknowledged, {len(seen)} received")
PY
for _ in {1..100}; do (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
{ timeout 60 node publish.mjs "$port"; timeout 60 venv/bin/python publish.py "$port"; } | tee seen
cat >expected <<'TXT'
mqtt, QoS 1: of 100, 100 acknowledged, 100 received
mqtt, QoS 2: of 100, 100 acknowledged, 20 received
paho, QoS 2: of 100, 100 acknowledged, 100 received
TXT
diff expected seen
