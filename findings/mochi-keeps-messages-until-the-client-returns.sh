#!/usr/bin/env bash
# github.com/mochi-mqtt/server/v2 2.7.9 (Go), an MQTT broker to embed, default options; Debian's mosquitto (2.0.11 when seen) next to it. The
# client is npm's mqtt 5.16.0, MQTT 5, QoS 1, and acknowledges each message 2 ms after it came.
# Guess: Receive Maximum is flow control: a subscriber that says 10 has at most 10 unacknowledged messages, and gets the next one for each that it acknowledges,
# in the order in which they were published. A broker that has confirmed 500 messages to their publisher delivers 500.
# Seen: what cannot be sent at once is put aside, and an acknowledgement fetches next to nothing of it: a handful of the 500 arrives, then nothing more, as
# long as the client stays connected. When it connects again the rest comes, in no order, much of it twice. A client without that property gets
# holes of the same kind in a burst of some thousand messages; and what a session missed while its client was away comes in no order either.
# Needs Node, npm, Go, mosquitto and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; mochi=; mosquitto=
trap 'kill $mochi $mosquitto 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund mqtt@5.16.0 >/dev/null
cat >go.mod <<'TXT'
module probe

go 1.24

require github.com/mochi-mqtt/server/v2 v2.7.9
TXT
cat >main.go <<'GO'
package main

import (
	"io"
	"log/slog"
	"os"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

func main() {
	broker := mqtt.New(&mqtt.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	broker.AddHook(new(auth.AllowHook), nil)
	if err := broker.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:" + os.Args[1]})); err != nil {
		panic(err)
	}
	broker.Serve()
	select {}
}
GO
export GOFLAGS=-mod=mod
go build -o broker . 2>build.log || { cat build.log; exit 1; }
cat >follow.mjs <<'JS'
import mqtt from "mqtt";

const [, , name, port] = process.argv;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const url = `mqtt://127.0.0.1:${port}`;
const all = 500;
const publisher = await mqtt.connectAsync(url, { protocolVersion: 5 });
const inOrder = (numbers) => numbers.every((number, index) => index === 0 || number > numbers[index - 1]);
const what = (count) => (count === all ? "all" : count < all / 2 ? "less than half" : "more than half");

/** A client with a session that is kept; `receive` gets the numbers that it is sent. */
function open(clientId, clean, receive, properties) {
  const client = mqtt.connect(url, {
    protocolVersion: 5, reconnectPeriod: 0, clientId, clean, properties: { sessionExpiryInterval: 600, ...properties },
    customHandleAcks: (topic, message, packet, done) => setTimeout(() => done(0), 2),
  });
  client.on("message", (topic, message) => receive(Number(message)));
  return new Promise((resolve) => client.once("connect", () => resolve(client)));
}
async function publish(topic) {
  for (let number = 0; number < all; number++) await publisher.publishAsync(topic, String(number), { qos: 1 });
}
const slow = [];
let client = await open("slow", true, (number) => slow.push(number), { receiveMaximum: 10 });
await client.subscribeAsync("orders", { qos: 1 });
await publish("orders");
await pause(5000);
console.log(`${name}, connected: ${what(new Set(slow).size)} of what was confirmed`);
await client.endAsync();
client = await open("slow", false, (number) => slow.push(number), { receiveMaximum: 10 });
await pause(4000);
console.log(`${name}, connected again: ${what(new Set(slow).size)}, ${inOrder(slow) ? "in order" : "in no order"}`);
await client.endAsync();
const away = [];
client = await open("away", true, () => {});
await client.subscribeAsync("news", { qos: 1 });
await client.endAsync();
await publish("news");
client = await open("away", false, (number) => away.push(number));
await pause(4000);
console.log(`${name}, after being away: ${what(new Set(away).size)}, ${inOrder(away) ? "in order" : "in no order"}`);
process.exit(0);
JS
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
try() { until (: <"/dev/tcp/127.0.0.1/$2") 2>/dev/null; do sleep 0.1; done; timeout 60 node follow.mjs "$1" "$2"; }
one=$(free); ./broker "$one" & mochi=$!
two=$(free); mosquitto -p "$two" >log 2>&1 & mosquitto=$!
{ try mochi "$one"; try mosquitto "$two"; } | tee seen
cat >expected <<'TXT'
mochi, connected: less than half of what was confirmed
mochi, connected again: all, in no order
mochi, after being away: all, in no order
mosquitto, connected: all of what was confirmed
mosquitto, connected again: all, in order
mosquitto, after being away: all, in order
TXT
diff expected seen
