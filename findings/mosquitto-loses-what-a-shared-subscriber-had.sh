#!/usr/bin/env bash
# Debian's mosquitto (2.0.11 when seen), with two lines of configuration; the clients are mqtt 5.16.0 (npm), MQTT 5, QoS 1, no session kept.
# Guess: when one of two workers of a shared subscription dies over its messages, and its session ends, the other one gets what was not acknowledged, as
# MQTT 5.0 (section 4.8.2) says that a server should see to.
# Seen: mosquitto drops all that it had sent to that worker and that was not acknowledged. The publisher has its acknowledgements, and the other
# worker goes on with every second message. With a session that outlives the connection (clean: false, sessionExpiryInterval: 60) they wait for
# the worker that died, and go to it when it is back.
# Needs Node, npm, python3, mosquitto and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; broker=
trap 'kill $broker 2>/dev/null || true; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund mqtt@5.16.0 >/dev/null
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$port" >mosquitto.conf
PATH=$PATH:/usr/sbin mosquitto -c mosquitto.conf >log 2>&1 & broker=$!
cat >work.mjs <<'JS'
import { once } from "node:events";
import { connect, connectAsync } from "mqtt";

const url = `mqtt://127.0.0.1:${process.argv[2]}`;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
for (const kept of [false, true]) {
  const jobs = `jobs-${kept ? "kept" : "clean"}`;
  const session = (clientId) => ({ clientId: `${clientId}-${jobs}`, protocolVersion: 5, reconnectPeriod: 0, clean: !kept, properties: { sessionExpiryInterval: kept ? 60 : 0 } });
  // It begins its first job, and never acknowledges it.
  const busy = { ...session("first"), customHandleAcks: () => {} };
  const first = await connectAsync(url, busy);
  await first.subscribeAsync(`$share/workers/${jobs}`, { qos: 1 });
  const done = new Set();
  const work = (_, message) => done.add(Number(message));
  const second = await connectAsync(url, session("second"));
  second.on("message", work);
  await second.subscribeAsync(`$share/workers/${jobs}`, { qos: 1 });
  const writer = await connectAsync(url);
  for (let n = 1; n <= 10; n++) await writer.publishAsync(jobs, String(n), { qos: 1 });
  await pause(500);
  first.stream.destroy();
  await pause(2_000);
  const undone = () => `${10 - done.size} of 10 acknowledged jobs undone`;
  if (!kept) console.log(`no session kept: the first worker is gone, ${undone()}`);
  const again = connect(url, session("first"));
  again.on("message", work);
  await once(again, "connect");
  await again.subscribeAsync(`$share/workers/${jobs}`, { qos: 1 });
  await pause(1_000);
  console.log(`${kept ? "session kept" : "no session kept"}: the first worker is back, ${undone()}`);
}
process.exit();
JS
for _ in {1..100}; do (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
timeout 60 node work.mjs "$port" | tee seen
cat >expected <<'TXT'
no session kept: the first worker is gone, 5 of 10 acknowledged jobs undone
no session kept: the first worker is back, 5 of 10 acknowledged jobs undone
session kept: the first worker is back, 0 of 10 acknowledged jobs undone
TXT
diff expected seen
