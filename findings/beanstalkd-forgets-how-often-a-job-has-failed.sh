#!/usr/bin/env bash
# Debian's beanstalkd (1.12 when seen) with its binlog, -b; the client is greenstalk 2.1.1 (PyPI).
# Guess: what beanstalkd keeps in its binlog is a job as it was last put back: a worker that releases a failed job with a lower priority, so that good ones go first, and looks at
# "releases" or "reserves" to bury it after the fifth attempt, finds both again after an orderly restart. For a release with a delay, and for bury, it is so.
# Seen: a release without a delay is not written. After a restart the job has the priority with which it was put, and counts 0 for both: a poisonous job that had been put behind all
# others is in front again, and gets its five attempts anew with each restart. With a delay of one second the priority and the counts are kept. So release
# with a delay of a second or more.
# Needs beanstalkd, python3 with venv and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"
trap 'kill $(cat pid 2>/dev/null) 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
python3 -m venv venv
venv/bin/pip install -q greenstalk==2.1.1
mkdir log
start() {
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  beanstalkd -b "$dir/log" -l 127.0.0.1 -p "$port" >/dev/null & echo $! >pid
  until (exec 9<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done
}
cat >work.py <<'PY'
import sys, time
import greenstalk

client = greenstalk.Client(("127.0.0.1", int(sys.argv[1])))
if sys.argv[2] == "before":
    for delay in (0, 1):
        number = client.put(f"fails, released with a delay of {delay}", priority=10)
        for _ in range(3):
            client.release(client.reserve_job(number), priority=1000, delay=delay)
            time.sleep(delay + 0.3)
    client.put("good", priority=100)
while True:
    try:
        job = client.reserve(timeout=0)
    except greenstalk.TimedOutError:
        break
    stats = client.stats_job(job)
    print(f"{sys.argv[2]}: {job.body}: priority {stats['pri']}, releases {stats['releases']}, reserves {stats['reserves'] - 1}", flush=True)
PY
{
  start
  venv/bin/python work.py "$port" before
  kill "$(cat pid)"; wait "$(cat pid)" 2>/dev/null || true
  start
  venv/bin/python work.py "$port" after
  kill "$(cat pid)"
} | tee seen
cat >expected <<'TXT'
before: good: priority 100, releases 0, reserves 0
before: fails, released with a delay of 0: priority 1000, releases 3, reserves 3
before: fails, released with a delay of 1: priority 1000, releases 3, reserves 3
after: fails, released with a delay of 0: priority 10, releases 0, reserves 0
after: good: priority 100, releases 0, reserves 0
after: fails, released with a delay of 1: priority 1000, releases 3, reserves 3
TXT
diff expected seen
