#!/usr/bin/env bash
# go-redis 9.23.0 (Go), redis-py 8.1.0 and coredis 6.9.0 (PyPI), sharded pub/sub (SSUBSCRIBE) on a Redis Cluster of two nodes; redis 6.3.1 and
# ioredis 6.0.0 (npm) next to them. Debian's redis-server (7.0.15 when seen).
# Guess: when a slot moves to another node, as it does whenever a cluster is made larger or smaller, a client that is subscribed to a shard channel in it goes
# to that node: the server tells it so, with a "sunsubscribe" that it has not asked for, and cluster clients follow commands that way all the time.
# Seen: the first three stay where they were. go-redis says nothing at all: Channel() just never has a message again, its health checks pass. redis-py hands
# out the "sunsubscribe" as if the program had asked for it, and so does coredis, whose loop over messages then ends in an orderly way. None of them raises, and
# what is sent to the channel reaches nobody of theirs until the process is restarted. redis (npm) and ioredis subscribe at the new node by themselves. Without
# sharding (SUBSCRIBE) all get all, since every node of a cluster hands every message on.
# Needs Node, npm, Go, python3 with venv, redis-server and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; one=; other=; clients=()
trap 'kill $one $other "${clients[@]}" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ioredis@6.0.0 redis@6.3.1 >/dev/null
python3 -m venv venv
venv/bin/pip install -q redis==8.1.0 coredis==6.9.0
cat >listen.mjs <<'JS'
const [, , library, port] = process.argv;
const seen = (text) => console.log(text);
if (library === "redis") {
  const { createCluster } = await import("redis");
  const client = createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${port}` }] });
  client.on("error", () => {});
  await client.connect();
  await client.sSubscribe("orders", seen);
} else {
  const { Cluster } = await import("ioredis");
  const client = new Cluster([{ host: "127.0.0.1", port: Number(port) }], { shardedSubscribers: true });
  client.on("error", () => {});
  client.on("smessage", (channel, text) => seen(text));
  await new Promise((resolve) => client.once("ready", resolve));
  await client.ssubscribe("orders");
}
console.log("listening");
JS
cat >listen.py <<'PY'
import asyncio, sys

library, port = sys.argv[1], int(sys.argv[2])

async def with_coredis():
    import coredis
    async with coredis.RedisCluster("127.0.0.1", port, decode_responses=True) as client:
        async with client.sharded_pubsub(channels=["orders"]) as pubsub:
            async for message in pubsub:
                print("listening" if message["type"] == "ssubscribe" else message["data"] if message["type"] == "message" else "", flush=True)

if library == "coredis":
    asyncio.run(with_coredis())
else:
    from redis.cluster import RedisCluster
    pubsub = RedisCluster(host="127.0.0.1", port=port, decode_responses=True).pubsub()
    pubsub.ssubscribe("orders")
    while True:
        message = pubsub.get_sharded_message(timeout=0.2)
        if message:
            print("listening" if message["type"] == "ssubscribe" else message["data"] if message["type"] == "smessage" else "", flush=True)
PY
mkdir go
cat >go/main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/redis/go-redis/v9"
)

func main() {
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:" + os.Args[2]}})
	pubsub := client.SSubscribe(context.Background(), "orders")
	if _, err := pubsub.Receive(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println("listening")
	for message := range pubsub.Channel() {
		fmt.Println(message.Payload)
	}
}
GO
cd go
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
go mod init listen 2>/dev/null
go get github.com/redis/go-redis/v9@v9.23.0 2>/dev/null
go build -o ../listen-go . 2>build.log || { cat build.log; exit 1; }
cd ..
# The bus of a node listens on a port that is 10,000 higher.
read -r a b <<<"$(python3 -c '
import random, socket
found = []
while len(found) < 2:
    port = random.randrange(20000, 30000)
    try:
        for each in (port, port + 10000):
            socket.socket().bind(("127.0.0.1", each))
        found.append(port)
    except OSError:
        pass
print(*found)')"
mkdir a b
redis-server --port "$a" --bind 127.0.0.1 --save '' --cluster-enabled yes --dir "$dir/a" >/dev/null & one=$!
redis-server --port "$b" --bind 127.0.0.1 --save '' --cluster-enabled yes --dir "$dir/b" >/dev/null & other=$!
for port in "$a" "$b"; do until redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done; done
{
  redis-cli -p "$a" cluster addslotsrange 0 8191
  redis-cli -p "$b" cluster addslotsrange 8192 16383
  redis-cli -p "$a" cluster set-config-epoch 1
  redis-cli -p "$b" cluster set-config-epoch 2
  redis-cli -p "$a" cluster meet 127.0.0.1 "$b"
} >/dev/null
for port in "$a" "$b"; do until redis-cli -p "$port" cluster info | grep -q 'cluster_state:ok'; do sleep 0.1; done; done
from=$(redis-cli -p "$a" cluster myid); to=$(redis-cli -p "$b" cluster myid); slot=$(redis-cli -p "$a" cluster keyslot orders)
names=(go-redis redis-py coredis redis ioredis)
./listen-go go-redis "$a" >go-redis.out 2>&1 & clients+=($!)
for name in redis-py coredis; do venv/bin/python listen.py $name "$a" >$name.out 2>&1 & clients+=($!); done
for name in redis ioredis; do node listen.mjs $name "$a" >$name.out 2>&1 & clients+=($!); done
for name in "${names[@]}"; do for _ in {1..300}; do grep -q listening $name.out && break; sleep 0.1; done; done
publish() { redis-cli -p "$1" spublish orders "$2" >/dev/null; }
publish "$a" before
for name in "${names[@]}"; do for _ in {1..100}; do grep -q before $name.out && break; sleep 0.1; done; done
{ # No key has to move: the slot is empty.
  redis-cli -p "$b" cluster setslot "$slot" importing "$from"
  redis-cli -p "$a" cluster setslot "$slot" migrating "$to"
  redis-cli -p "$b" cluster setslot "$slot" node "$to"
  redis-cli -p "$a" cluster setslot "$slot" node "$to"
} >/dev/null
for _ in {1..12}; do publish "$b" after; sleep 1; done
for number in "${!names[@]}"; do
  name=${names[number]}; alive="waits on"; kill -0 "${clients[number]}" 2>/dev/null || alive="ends without an error"
  if grep -qi error $name.out; then alive=error; fi
  echo "$name: $(grep -c before $name.out || true) before, $(grep -q after $name.out && echo "goes on" || echo "nothing after, $alive")"
done | tee seen
cat >expected <<'TXT'
go-redis: 1 before, nothing after, waits on
redis-py: 1 before, nothing after, waits on
coredis: 1 before, nothing after, ends without an error
redis: 1 before, goes on
ioredis: 1 before, goes on
TXT
diff expected seen
