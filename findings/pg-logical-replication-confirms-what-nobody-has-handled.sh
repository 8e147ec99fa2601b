#!/usr/bin/env bash
# pg-logical-replication 2.5.0 (npm, with pg 8.23.1), LogicalReplicationService; psycopg2 2.9.13 (PyPI) next to it. Debian's PostgreSQL (15 when seen).
# Guess: with acknowledge.auto false the program says what it has handled, and nothing else moves the position of its slot; with flowControl, which waits
# for an async handler, a change is confirmed when its handler has ended. What was being handled when the process died comes again.
# Seen: a timer confirms the last position RECEIVED when nothing was confirmed for timeoutSeconds (10 by default, 1 here), with auto false and with
# flowControl as well. A handler that takes longer, or waits for a store that is away for that long, loses all that had been received if its process
# dies then: PostgreSQL never sends it again. With timeoutSeconds 0 nothing is lost, but nothing is sent to the server either, so that it ends
# the connection whenever it is idle for wal_sender_timeout (60 s). psycopg2 answers the server without moving the position.
# Needs Node, npm, python3 with venv, PostgreSQL (as root also runuser and the user postgres) and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); chmod 755 "$dir"; cd "$dir"; server=
trap 'kill $server 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund pg-logical-replication@2.5.0 pg@8.23.1 >/dev/null
python3 -m venv venv
venv/bin/pip install -q psycopg2-binary==2.9.13
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
as=()
if [ "$(id -u)" = 0 ]; then as=(runuser -u postgres --); fi
mkdir data; if [ "$(id -u)" = 0 ]; then chown postgres data; fi
"${as[@]}" "$bin/initdb" -D data -U postgres -A trust >/dev/null
"${as[@]}" "$bin/postgres" -D data -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c wal_level=logical >log 2>&1 & server=$!
for _ in {1..100}; do grep -q 'ready to accept' log && break; sleep 0.1; done
cat >follow.mjs <<'JS'
// Follows the slot: "stuck" handles the first change for ever, until it is killed; "all" prints what comes within 2 s.
import { LogicalReplicationService, TestDecodingPlugin } from "pg-logical-replication";
const [, , port, slot, mode, config] = process.argv;
const service = new LogicalReplicationService({ host: "127.0.0.1", port: Number(port), user: "postgres", database: "postgres" }, JSON.parse(config));
const seen = [];
service.on("error", () => {});
service.on("data", async (lsn, change) => {
  const row = JSON.stringify(change).match(/job-\d/)?.[0];
  if (row === undefined) return;
  seen.push(row);
  if (mode === "stuck") await new Promise(() => setInterval(() => {}, 1000));
});
service.subscribe(new TestDecodingPlugin({}), slot).catch(() => {});
if (mode === "all") setTimeout(() => { console.log(seen.join(" ") || "nothing"); process.exit(0); }, 2000);
JS
cat >follow.py <<'PY'
import re, sys, time
import psycopg2, psycopg2.extras
port, slot, mode = sys.argv[1:]
connection = psycopg2.connect(
    host="127.0.0.1", port=port, user="postgres", dbname="postgres", connection_factory=psycopg2.extras.LogicalReplicationConnection)
cursor = connection.cursor()
cursor.start_replication(slot_name=slot, decode=True, status_interval=1)
seen, end = [], time.monotonic() + 2
while mode == "stuck" or time.monotonic() < end:
    message = cursor.read_message()
    if message and (row := re.search(r"job-\d", message.payload)):
        seen.append(row[0])
    time.sleep(0.01)
print(" ".join(seen) or "nothing")
PY
sql() { psql -q -A -t -h 127.0.0.1 -p "$port" -U postgres -c "$1" >/dev/null; }
sql "CREATE TABLE jobs (name text)"
try() {
  local name=$1 slot=$2; shift 2
  sql "SELECT pg_create_logical_replication_slot('$slot', 'test_decoding')"
  "$1" "$2" "$port" "$slot" stuck "${@:3}" 2>/dev/null & local one=$!
  for n in 1 2 3; do sleep 0.3; sql "INSERT INTO jobs VALUES ('job-$n')"; done
  sleep 5; kill -9 $one; wait $one 2>/dev/null || true; sleep 0.5
  echo "$name: after a kill -9 in the first job come $("$1" "$2" "$port" "$slot" all "${@:3}" 2>/dev/null)"
  sql "SELECT pg_drop_replication_slot('$slot')" 2>/dev/null || true
}
{
  try "auto false" one node follow.mjs '{"acknowledge":{"auto":false,"timeoutSeconds":1}}'
  try "flowControl" two node follow.mjs '{"flowControl":{"enabled":true},"acknowledge":{"auto":true,"timeoutSeconds":1}}'
  try "auto false, no timer" three node follow.mjs '{"acknowledge":{"auto":false,"timeoutSeconds":0}}'
  try "psycopg2" four venv/bin/python follow.py
} 2>/dev/null | tee seen
cat >expected <<'TXT'
auto false: after a kill -9 in the first job come nothing
flowControl: after a kill -9 in the first job come nothing
auto false, no timer: after a kill -9 in the first job come job-1 job-2 job-3
psycopg2: after a kill -9 in the first job come job-1 job-2 job-3
TXT
diff expected seen
