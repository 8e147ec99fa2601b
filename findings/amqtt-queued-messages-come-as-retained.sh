#!/usr/bin/env bash
# amqtt 0.12.1 (PyPI), an MQTT broker; aedes 1.2.0 (npm) next to it. The client is mqtt 5.16.0 (npm), MQTT 3.1.1.
# Guess: what was published at QoS 1 while a client with cleanSession false was away waits for it, and comes with RETAIN 0, as any message of a
# subscription that exists (MQTT 3.1.1, section 3.3.1.3): RETAIN 1 is for old state, sent because of a new subscription.
# Seen: amqtt sets RETAIN to 1 on each of them, so that a client that takes RETAIN for "old state, not an event" skips the very messages that
# it missed, and a bridge that copies the flag makes them stay at the other broker. For a client that connects without a user name amqtt keeps
# nothing, but says "session present" to it all the same, so that it believes to have missed nothing. aedes sends all with RETAIN 0.
# Needs Node, npm, python3 with venv, and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; brokers=()
trap 'kill "${brokers[@]}" 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund mqtt@5.16.0 aedes@1.2.0 >/dev/null
python3 -m venv venv
venv/bin/pip install -q amqtt==0.12.1
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
named=$(free) anonymous=$(free) aedes=$(free)
venv/bin/python -c 'from pwdlib import PasswordHash; print("reader:" + PasswordHash.recommended().hash("secret"))' >passwords
config() { printf 'listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:%s\nplugins:\n' "$1"; }
{ config "$named"; printf '  amqtt.plugins.authentication.FileAuthPlugin:\n    password_file: %s/passwords\n' "$dir"; } >named.yaml
{ config "$anonymous"; printf '  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n'; } >anonymous.yaml
cat >aedes.mjs <<'JS'
import net from "node:net";
import { Aedes } from "aedes";

const broker = await Aedes.createBroker();
net.createServer(broker.handle).listen(Number(process.argv[2]));
JS
venv/bin/amqtt -c named.yaml >/dev/null 2>&1 & brokers+=($!)
venv/bin/amqtt -c anonymous.yaml >/dev/null 2>&1 & brokers+=($!)
node aedes.mjs "$aedes" >/dev/null 2>&1 & brokers+=($!)
cat >client.mjs <<'JS'
import mqtt from "mqtt";

const [, , name, port, user] = process.argv;
const login = user ? { username: user, password: "secret" } : {};
const url = `mqtt://127.0.0.1:${port}`;
const reader = { clientId: "reader", clean: false, ...login };
// A client that connects again and again until the broker is there.
const first = mqtt.connect(url, { ...reader, reconnectPeriod: 300 });
await new Promise((resolve) => first.once("connect", resolve));
await first.subscribeAsync("news/#", { qos: 1 });
await first.endAsync();
const writer = await mqtt.connectAsync(url, { clientId: "writer", ...login });
for (const text of ["one", "two"]) await writer.publishAsync("news/a", text, { qos: 1 });
const second = mqtt.connect(url, { ...reader, reconnectPeriod: 0 });
const seen = [];
let present;
second.on("connect", ({ sessionPresent }) => (present = sessionPresent));
second.on("message", (_, data, { retain }) => seen.push(`${data} (RETAIN ${Number(retain)})`));
await new Promise((resolve) => setTimeout(resolve, 1_500));
await writer.publishAsync("news/a", "live", { qos: 1 });
await new Promise((resolve) => setTimeout(resolve, 1_000));
console.log(`${name}: session ${present ? "present" : "absent"}, ${seen.join(", ")}`);
process.exit();
JS
{
  timeout 60 node client.mjs "amqtt, user name" "$named" reader
  timeout 60 node client.mjs "amqtt, no user name" "$anonymous"
  timeout 60 node client.mjs "aedes, no user name" "$aedes"
} 2>/dev/null | tee seen
cat >expected <<'TXT'
amqtt, user name: session present, one (RETAIN 1), two (RETAIN 1), live (RETAIN 0)
amqtt, no user name: session present, live (RETAIN 0)
aedes, no user name: session present, one (RETAIN 0), two (RETAIN 0), live (RETAIN 0)
TXT
diff expected seen
