#!/usr/bin/env bash
# paho-mqtt 2.2.0 (PyPI), its transport "websockets", Python 3; mqtt 5.16.0 (npm, Node) next to it. The broker is amqtt 0.12.1 (PyPI), which pings each WebSocket every 20 seconds, as the
# library websockets, that it is made with, does by default. MQTT 3.1.1.
# Guess: an MQTT client over a WebSocket answers the pings of that WebSocket and goes on (RFC 6455, section 5.5.2). MQTT's own keepalive is another matter.
# Seen: paho-mqtt answers, but without a mask, which no frame of a client may lack (section 5.1: the server MUST close). So the first ping ends the connection, with an
# "Unspecified error", and so does each one after it: it is back a second or two later, and what was published in between is lost to a session that is not kept. It looks
# like a network that fails every 20 seconds. Brokers differ: those that never ping a WebSocket, or do not look at the mask, never show it, so it comes with a new
# broker, or with a server or gateway in between that pings by a clock, as most servers of WebSockets do. A program cannot switch the answers off: use TCP (or TLS), keep
# the session (clean_session=False, QoS 1), or take another client. mqtt for Node gets everything. (Paho for Java takes a ping for a fault too: its issue 912.)
# Needs Node, npm, python3 (3.11 or newer) with venv and the registries. Takes a minute. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; broker=; listeners=
trap 'kill $listeners $broker 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund mqtt@5.16.0 >/dev/null
python3 -m venv venv
venv/bin/pip install -q paho-mqtt==2.2.0 amqtt==0.12.1
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
ws=$(free); tcp=$(free)
cat >broker.yaml <<YAML
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:$tcp
  web:
    type: ws
    bind: 127.0.0.1:$ws
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
YAML
# Each listener says how often its connection ended, and whether it got all of the numbers 1 to 250.
cat >listen.py <<'PY'
import sys
import paho.mqtt.client as mqtt

numbers, ends = [], []

def message(client, data, message):
    numbers.append(int(message.payload))
    if numbers[-1] == 250:
        print(f"paho-mqtt: ended {'twice or more' if len(ends) > 1 else len(ends)}, got {'all' if len(numbers) == 250 else 'not all'}")
        client.disconnect()

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, transport="websockets")
client.ws_set_options(path="/")
client.on_connect = lambda *_: client.subscribe("numbers", 1)
client.on_subscribe = lambda *_: print("ready", file=sys.stderr, flush=True)
client.on_disconnect = lambda *_: ends.append(1)
client.on_message = message
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_forever()
PY
cat >listen.mjs <<'JS'
import mqtt from "mqtt";

const numbers = [];
let ends = 0;
const client = mqtt.connect(`ws://127.0.0.1:${process.argv[2]}/`);
client.on("connect", () => client.subscribe("numbers", { qos: 1 }, () => console.error("ready")));
client.on("close", () => (ends += 1));
client.on("message", (_, payload) => {
  if (numbers.push(Number(payload)) && numbers.at(-1) !== 250) return;
  console.log(`mqtt: ended ${ends}, got ${numbers.length === 250 ? "all" : "not all"}`);
  process.exit();
});
JS
cat >publish.mjs <<'JS'
import mqtt from "mqtt";

const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${process.argv[2]}`);
for (let n = 1; n < 250; n++) {
  await client.publishAsync("numbers", String(n), { qos: 1 });
  await new Promise((done) => setTimeout(done, 180));
}
for (let n = 0; n < 20; n++) {
  await client.publishAsync("numbers", "250", { qos: 1 }); // The last one, until everybody has it.
  await new Promise((done) => setTimeout(done, 500));
}
client.end();
JS
venv/bin/amqtt -c broker.yaml >broker.log 2>&1 & broker=$!
for port in "$tcp" "$ws"; do until (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.2; done; done
venv/bin/python listen.py "$ws" >paho 2>paho.ready & listeners=$!
node listen.mjs "$ws" >mqtt 2>mqtt.ready & listeners="$listeners $!"
until [ -s paho.ready ] && [ -s mqtt.ready ]; do sleep 0.1; done
node publish.mjs "$tcp"
cat paho mqtt | tee seen
cat >expected <<'TXT'
paho-mqtt: ended twice or more, got not all
mqtt: ended 0, got all
TXT
diff expected seen
