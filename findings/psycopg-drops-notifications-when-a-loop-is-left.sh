#!/usr/bin/env bash
# psycopg 3.3.9 (PyPI), LISTEN and NOTIFY; asyncpg 0.32.0 next to it. Debian's PostgreSQL (15 when seen).
# Guess: notifications wait for the program: one that leaves the loop over notifies(), with "break" or close() as its documentation does, to carry out a
# job, and begins another one after that, gets those that it has not seen yet, as it gets those that come while it executes statements.
# Seen: it gets none of those that had come in the same read as the last one that it took. They are dropped, without a word, sync and async.
# Five notifications, and a loop that takes one each time, are one job done and four that nobody does. When the loop runs to its time limit, none
# is lost; stop_after=1 loses none either, but hands out all five. asyncpg calls its listener for each.
# Needs python3 with venv, PostgreSQL (as root also runuser and the user postgres) and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); chmod 755 "$dir"; cd "$dir"; server=
trap 'kill $server 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
python3 -m venv venv
venv/bin/pip install -q 'psycopg[binary]==3.3.9' asyncpg==0.32.0
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
as=()
if [ "$(id -u)" = 0 ]; then as=(runuser -u postgres --); fi
mkdir data; if [ "$(id -u)" = 0 ]; then chown postgres data; fi
"${as[@]}" "$bin/initdb" -D data -U postgres -A trust >/dev/null
"${as[@]}" "$bin/postgres" -D data -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= >log 2>&1 & server=$!
for _ in {1..100}; do grep -q 'ready to accept' log && break; sleep 0.1; done
cat >jobs.py <<'PY'
import asyncio, sys, time
import asyncpg, psycopg

url = f"postgresql://postgres@127.0.0.1:{sys.argv[1]}/postgres"
writer = psycopg.connect(url, autocommit=True)

def five():
    for n in range(1, 6):
        writer.execute(f"NOTIFY jobs, '{n}'")
    time.sleep(0.5)

def listening():
    reader = psycopg.connect(url, autocommit=True)
    reader.execute("LISTEN jobs")
    return reader

def show(name, seen):
    print(f"{name}: {' '.join(seen)}")

reader, seen = listening(), []
five()
for _ in range(5):
    for job in reader.notifies(timeout=0.3):
        seen.append(job.payload)
        break
show("psycopg, break", seen)

reader, seen = listening(), []
five()
for _ in range(5):
    jobs = reader.notifies(timeout=0.3)
    for job in jobs:
        seen.append(job.payload)
        jobs.close()
show("psycopg, close()", seen)

reader, seen = listening(), []
five()
for _ in range(5):
    seen += [job.payload for job in reader.notifies(timeout=0.3, stop_after=1)]
show("psycopg, stop_after=1", seen)

reader, seen = listening(), []
five()
reader.execute("SELECT 1")
seen += [job.payload for job in reader.notifies(timeout=0.3)]
show("psycopg, another statement", seen)

async def main():
    reader, seen = await psycopg.AsyncConnection.connect(url, autocommit=True), []
    await reader.execute("LISTEN jobs")
    five()
    for _ in range(5):
        async for job in reader.notifies(timeout=0.3):
            seen.append(job.payload)
            break
    show("psycopg, async, break", seen)
    other, seen = await asyncpg.connect(url), []
    await other.add_listener("jobs", lambda connection, pid, channel, payload: seen.append(payload))
    five()
    await asyncio.sleep(0.5)
    show("asyncpg", seen)

asyncio.run(main())
PY
timeout 60 venv/bin/python jobs.py "$port" | tee seen
cat >expected <<'TXT'
psycopg, break: 1
psycopg, close(): 1
psycopg, stop_after=1: 1 2 3 4 5
psycopg, another statement: 1 2 3 4 5
psycopg, async, break: 1
asyncpg: 1 2 3 4 5
TXT
diff expected seen
