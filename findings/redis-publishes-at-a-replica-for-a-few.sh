#!/usr/bin/env bash
# Debian's redis-server (7.0.15 when seen), a primary and a replica that change places with the command FAILOVER, Redis' own way for a planned change; the
# clients are ioredis 6.0.0 and redis 6.3.1 (npm) and redis-py 8.1.0 (PyPI), and their connections stay where they are.
# Guess: after the change, who still talks to the old primary, a read-only replica now, is told so at the next message that it publishes: READONLY, as for a SET.
# That is the error at which clients look for the new primary (ioredis has reconnectOnError for it).
# Seen: PUBLISH is no write to Redis. The replica takes it and answers with a number, and hands the message only to the subscribers that it has itself: replicas pass on what comes
# from their primary, never the other way. Those at the new primary, all that connected after the change, get nothing. No error and no reconnection, so a process that
# only publishes talks to the wrong server until it is restarted, while a subscriber that stayed there hears both sides and finds nothing wrong. After FAILOVER (or REPLICAOF) cut
# the old connections with CLIENT KILL TYPE normal and TYPE pubsub, as Sentinel does; or publish in a MULTI with a write, which says READONLY.
# Needs Node, npm, python3 with venv, redis-server and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; one=; two=; publisher=; listeners=()
trap 'kill $one $two $publisher "${listeners[@]}" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ioredis@6.0.0 redis@6.3.1 >/dev/null
python3 -m venv venv
venv/bin/pip install -q redis==8.1.0
cat >publish.mjs <<'JS'
import { createInterface } from "node:readline";
import { Redis } from "ioredis";
import { createClient } from "redis";

const port = Number(process.argv[2]);
const first = new Redis(port, { reconnectOnError: (error) => error.message.startsWith("READONLY") });
const second = await createClient({ url: `redis://127.0.0.1:${port}` }).on("error", () => {}).connect();
const told = (answer) => answer.then((value) => `answer ${value}`, (error) => error.message.split(" ")[0]);
for await (const when of createInterface({ input: process.stdin })) {
  console.log(`ioredis, ${when}: PUBLISH ${await told(first.publish("news", `ioredis-${when}`))}`);
  console.log(`redis, ${when}: PUBLISH ${await told(second.publish("news", `redis-${when}`))}`);
  const both = second.multi().set("last", when).publish("news", `multi-${when}`).exec();
  console.log(`redis, ${when}: SET and PUBLISH ${await told(both.then(() => "given"))}`);
}
JS
cat >publish.py <<'PY'
import sys
import redis

client = redis.Redis(port=int(sys.argv[1]))
for when in map(str.strip, sys.stdin):
    print(f"redis-py, {when}: PUBLISH answer {client.publish('news', f'redis-py-{when}')}", flush=True)
PY
read -r a b <<<"$(python3 -c '
import socket
both = [socket.socket(), socket.socket()]
for each in both: each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in both))')"
mkdir a b
redis-server --port "$a" --bind 127.0.0.1 --save '' --dir "$dir/a" --repl-diskless-sync-delay 0 >/dev/null & one=$!
redis-server --port "$b" --bind 127.0.0.1 --save '' --dir "$dir/b" --repl-diskless-sync-delay 0 --replicaof 127.0.0.1 "$a" >/dev/null & two=$!
for port in "$a" "$b"; do until redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done; done
until redis-cli -p "$b" info replication | grep -q master_link_status:up; do sleep 0.1; done
for port in "$a" "$b"; do redis-cli -p "$port" subscribe news >"at-$port" & listeners+=($!); done
for port in "$a" "$b"; do until grep -q subscribe "at-$port"; do sleep 0.1; done; done
mkfifo in.mjs in.py
node publish.mjs "$a" <in.mjs >out.mjs & publisher=$!
venv/bin/python publish.py "$a" <in.py >out.py & listeners+=($!)
exec 3>in.mjs 4>in.py
say() {
  echo "$1" >&3; until grep -q "SET and PUBLISH.*" <(grep "$1" out.mjs); do sleep 0.1; done
  echo "$1" >&4; until grep -q "$1" out.py; do sleep 0.1; done
  sleep 0.5
}
say before
redis-cli -p "$a" failover >/dev/null
until redis-cli -p "$a" role | grep -q slave && redis-cli -p "$a" info replication | grep -q master_link_status:up; do sleep 0.1; done
say after
heard() { grep -E -- "-$2\$" "at-$1" | sort | paste -sd' ' | grep . || echo nothing; }
{
  cat out.mjs out.py
  for when in before after; do
    echo "heard at the first, $when: $(heard "$a" $when)"
    echo "heard at the second, $when: $(heard "$b" $when)"
  done
} | tee seen
cat >expected <<'TXT'
ioredis, before: PUBLISH answer 1
redis, before: PUBLISH answer 1
redis, before: SET and PUBLISH answer given
ioredis, after: PUBLISH answer 1
redis, after: PUBLISH answer 1
redis, after: SET and PUBLISH READONLY
redis-py, before: PUBLISH answer 1
redis-py, after: PUBLISH answer 1
heard at the first, before: ioredis-before multi-before redis-before redis-py-before
heard at the second, before: ioredis-before multi-before redis-before redis-py-before
heard at the first, after: ioredis-after redis-after redis-py-after
heard at the second, after: nothing
TXT
diff expected seen
