#!/usr/bin/env bash
# crates.io: rumqttd 0.20.0, an MQTT broker for Rust programs to embed; Debian's mosquitto (2.0.11 when seen) next to it. The client is npm's mqtt 5.16.0,
# MQTT 5, QoS 1, sessions that are kept (clean false, 600 seconds).
# Guess: each message of a shared subscription ($share/workers/jobs) goes to one of its members. One whose connection ends and comes back is a member again: its session, with
# its subscription, is there ("session present"), so it gets its share of what comes.
# Seen: a worker that comes back is told that its session is there, and is not a member any more: the other one gets everything. When both have been away at once, as
# in a deploy, both come back with a subscription of their own: every job that waited, and every job from then on, goes to both, so each is done twice. With
# MQTT 3.1.1 it was the same, by hand. A worker that subscribes again after each connection, whatever was said of its session, is a member again (by hand).
# mosquitto shares all the time, and keeps a worker's share for it.
# Needs Node, npm, cargo, mosquitto and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; brokers=()
trap 'kill "${brokers[@]}" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund mqtt@5.16.0 >/dev/null
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"

[dependencies]
rumqttd = { version = "=0.20.0", default-features = false }

[profile.dev]
debug = false
TOML
cat >src/main.rs <<'RUST'
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};

fn main() {
    let address = format!("127.0.0.1:{}", std::env::args().nth(1).unwrap());
    let connections = ConnectionSettings {
        connection_timeout_ms: 60_000,
        max_payload_size: 20_480,
        max_inflight_count: 100,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let server = ServerSettings { name: "v5".into(), listen: address.parse().unwrap(), tls: None, next_connection_delay_ms: 1, connections };
    let router = RouterConfig {
        max_connections: 100,
        max_outgoing_packet_count: 200,
        max_segment_size: 104_857_600,
        max_segment_count: 10,
        ..Default::default()
    };
    let config = Config { id: 0, router, v5: Some([("1".to_string(), server)].into()), ..Default::default() };
    Broker::new(config).start().unwrap();
}
RUST
cargo build -q
cat >work.mjs <<'JS'
import { connect, connectAsync } from "mqtt";

const [, , name, port] = process.argv;
const url = `mqtt://127.0.0.1:${port}`;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
async function worker(clientId) {
  const client = connect(url, { clientId, protocolVersion: 5, clean: false, reconnectPeriod: 0, properties: { sessionExpiryInterval: 600 } });
  client.got = [];
  client.on("message", (_topic, payload) => client.got.push(payload.toString()));
  client.present = await new Promise((resolve) => client.once("connect", (answer) => resolve(answer.sessionPresent)));
  return client;
}
let [one, other] = [await worker("one"), await worker("other")];
for (const client of [one, other]) await client.subscribeAsync("$share/workers/jobs", { qos: 1 });
const publisher = await connectAsync(url, { protocolVersion: 5 });
let number = 0;
async function publish() {
  for (let n = 0; n < 4; n++) await publisher.publishAsync("jobs", String(++number), { qos: 1 });
  await pause(700);
}
function show(when) {
  for (const client of [one, other]) client.got.sort((a, b) => a - b);
  console.log(`${name}, ${when}: ${one.got.join(" ") || "none"} | ${other.got.join(" ") || "none"}`);
  one.got.length = other.got.length = 0;
}
await publish();
show("both there");
await one.endAsync();
one = await worker("one");
await publish();
show(`one is back, session present ${one.present}`);
for (const client of [one, other]) await client.endAsync();
await publish();
[one, other] = [await worker("one"), await worker("other")];
await pause(700);
show("both were away, what waited");
await publish();
show("and from then on");
process.exit(0);
JS
read -r a b <<<"$(python3 -c '
import socket
both = [socket.socket(), socket.socket()]
for each in both: each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in both))')"
target/debug/probe "$a" >log 2>&1 & brokers+=($!)
printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$b" >mosquitto.conf
PATH=$PATH:/usr/sbin mosquitto -c mosquitto.conf >log2 2>&1 & brokers+=($!)
for port in "$a" "$b"; do until (exec 9<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done; done
{
  timeout 60 node work.mjs rumqttd "$a"
  timeout 60 node work.mjs mosquitto "$b"
} | tee seen
cat >expected <<'TXT'
rumqttd, both there: 1 3 | 2 4
rumqttd, one is back, session present true: none | 5 6 7 8
rumqttd, both were away, what waited: 9 10 11 12 | 9 10 11 12
rumqttd, and from then on: 13 14 15 16 | 13 14 15 16
mosquitto, both there: 1 3 | 2 4
mosquitto, one is back, session present true: 5 7 | 6 8
mosquitto, both were away, what waited: 9 11 | 10 12
mosquitto, and from then on: 13 15 | 14 16
TXT
diff expected seen
