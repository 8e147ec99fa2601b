#!/usr/bin/env bash
# github.com/redis/go-redis/v9 9.23.0 (Go), NewFailoverClient and its pub/sub Channel(), default options; redis 6.3.1 (npm), createSentinel, next to it. Debian's
# redis-server (7.0.15 when seen): a primary, a replica and a Sentinel. The primary stands still (SIGSTOP here; a paused machine, a dead disk, a lost route), connections stay open.
# Guess: Sentinel promotes the replica after two seconds, and the subscriber is there some seconds later. go-redis's Channel() is made for that: it "periodically sends ping messages to
# test connection health and re-subscribes if ping can not received for 1 minute", every 3 s when nothing comes, with a timeout of 5 s (WithChannelPingTimeout). And its commands move.
# Seen: its commands are at the new primary in seconds; the subscription stays at the old one for as long as that stands still, 80 s here, and hears nothing. The health check
# writes its PING, into a connection that takes it, and nobody waits for the answer: the timeout is that of the write (redis-py's health check of a subscription is known to do the same). No error and no log line, and whatever is
# published in between is lost. What ends it is a reset: when the old primary wakes up Sentinel cuts its clients, and where the machine is gone, the kernel after a quarter
# of an hour. The npm client has its subscription at the new primary as soon as Sentinel says so. Use ReceiveTimeout() in a loop of one's own: Ping(), and a new subscription
# when there is neither a message nor a Pong in time.
# Needs Go, Node, npm, redis-server and the registries. Takes two minutes. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; started=()
trap 'kill -CONT "${started[@]}" 2>/dev/null || true; kill "${started[@]}" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund redis@6.3.1 >/dev/null
cat >listen.mjs <<'JS'
import { createSentinel } from "redis";

const client = createSentinel({ name: "shop", sentinelRootNodes: [{ host: "127.0.0.1", port: Number(process.argv[2]) }] });
await client.on("error", () => {}).on("client-error", () => {}).connect();
await client.subscribe("news", (text) => console.log(`heard ${text}`));
console.log("listening");
JS
mkdir go
cat >go/main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
)

func main() {
	ctx := context.Background()
	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "shop", SentinelAddrs: []string{"127.0.0.1:" + os.Args[1]}})
	pubsub := client.Subscribe(ctx, "news")
	if _, err := pubsub.Receive(ctx); err != nil {
		panic(err)
	}
	go func() {
		for message := range pubsub.Channel() {
			fmt.Println("heard", message.Payload)
		}
	}()
	fmt.Println("listening")
	for ; ; time.Sleep(200 * time.Millisecond) {
		client.Set(ctx, "written", "by go-redis", 0)
	}
}
GO
cd go
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
go mod init listen 2>/dev/null
go get github.com/redis/go-redis/v9@v9.23.0 2>/dev/null
go build -o ../listen . 2>build.log || { cat build.log; exit 1; }
cd ..
read -r one two sentinel <<<"$(python3 -c '
import socket
all = [socket.socket() for _ in range(3)]
for each in all: each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in all))')"
mkdir one two
redis-server --port "$one" --bind 127.0.0.1 --save '' --dir "$dir/one" --repl-diskless-sync-delay 0 >/dev/null & old=$!; started+=($old)
redis-server --port "$two" --bind 127.0.0.1 --save '' --dir "$dir/two" --replicaof 127.0.0.1 "$one" >/dev/null & started+=($!)
until redis-cli -p "$two" info replication 2>/dev/null | grep -q master_link_status:up; do sleep 0.1; done
cat >sentinel.conf <<TXT
port $sentinel
bind 127.0.0.1
sentinel monitor shop 127.0.0.1 $one 1
sentinel down-after-milliseconds shop 2000
sentinel failover-timeout shop 10000
TXT
redis-server sentinel.conf --sentinel --dir "$dir" >sentinel.log & started+=($!)
until redis-cli -p "$sentinel" info sentinel 2>/dev/null | grep -q slaves=1; do sleep 0.1; done
./listen "$sentinel" >go-redis 2>go-redis.log & started+=($!)
node listen.mjs "$sentinel" >redis & started+=($!)
for name in go-redis redis; do until grep -qs listening $name; do sleep 0.1; done; done
say() { redis-cli -p "$1" publish news "$2" >/dev/null; for _ in {1..50}; do grep -q "$2" go-redis && grep -q "$2" redis && break; sleep 0.1; done; }
say "$one" before
kill -STOP $old
until redis-cli -p "$two" role | grep -q master; do sleep 0.1; done
redis-cli -p "$two" del written >/dev/null
until redis-cli -p "$two" get written | grep -q go-redis; do sleep 0.1; done
for second in 20 40 60 80; do sleep 15; say "$two" "after-$second"; done
echo "go-redis writes to the new primary" | tee seen
for name in go-redis redis; do echo "$name: $(grep heard $name | paste -sd' ')" | tee -a seen; done
kill -CONT $old
for _ in {1..60}; do say "$two" awake; grep -q awake go-redis && break; sleep 1; done
echo "the old primary is awake: go-redis $(grep -m1 awake go-redis || echo 'heard nothing')" | tee -a seen
cat >expected <<'TXT'
go-redis writes to the new primary
go-redis: heard before
redis: heard before heard after-20 heard after-40 heard after-60 heard after-80
the old primary is awake: go-redis heard awake
TXT
diff expected seen
