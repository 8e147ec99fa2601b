#!/usr/bin/env bash
# ioredis 6.0.0 (npm), redis-py 8.1.0 and coredis 6.9.0 (PyPI), Lettuce 7.7.0 (Maven), go-redis 9.23.0 (Go), with their default options;
# redis 6.3.1 (npm), Jedis 8.0.2 (Maven), redigo 1.9.3 (Go) and Bun 1.4.4's RedisClient next to them. Debian's redis-server.
# Guess: XADD is not idempotent, so a client whose connection ends before there is an answer reports an error: it cannot know whether the entry was added.
# Seen: the first five send the command again by themselves, on a new connection, and return the second answer as if nothing had been. The stream has the
# entry twice, with two ids, so that no reader can tell it from two events (RPUSH, seen by hand, goes the same way). A failover or a restart doubles
# whatever was on its way. The others report an error.
# Needs Node, npm, Go, Java 17, Maven, python3 with venv, redis-server and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; redis=; proxy=
trap 'kill $redis $proxy 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ioredis@6.0.0 redis@6.3.1 bun@1.4.4 >/dev/null
python3 -m venv venv
venv/bin/pip install -q redis==8.1.0 coredis==6.9.0
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>a</groupId><artifactId>a</artifactId><version>1</version><dependencies>
<dependency><groupId>io.lettuce</groupId><artifactId>lettuce-core</artifactId><version>7.7.0.RELEASE</version></dependency>
<dependency><groupId>redis.clients</groupId><artifactId>jedis</artifactId><version>8.0.2</version></dependency>
</dependencies></project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
# Between client and Redis. The connection that carries the XADD ends when Redis has carried it out, before its answer is passed on.
cat >proxy.py <<'PY'
import socket, sys, threading

cut = threading.Event()

def forward(source, target, to_redis):
    try:
        while data := source.recv(65536):
            if not to_redis and source in doomed:
                break
            if to_redis and b"XADD" in data.upper() and not cut.is_set():
                cut.set()
                doomed.add(target)
            target.sendall(data)
    except OSError:
        pass
    for side in (source, target):
        try:
            side.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

doomed = set()
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    client, _ = listener.accept()
    redis = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    threading.Thread(target=forward, args=(client, redis, True), daemon=True).start()
    threading.Thread(target=forward, args=(redis, client, False), daemon=True).start()
PY
cat >add.mjs <<'JS'
const [, , name, port] = process.argv;
const url = `redis://127.0.0.1:${port}`;
try {
  if (name === "ioredis") {
    const { Redis } = await import("ioredis");
    const client = new Redis(url);
    client.on("error", () => {});
    await client.ping();
    await client.xadd(name, "*", "text", "hello");
  } else if (name === "redis") {
    const client = (await import("redis")).createClient({ url });
    client.on("error", () => {});
    await client.connect();
    await client.xAdd(name, "*", { text: "hello" });
  } else {
    const client = new (await import("bun")).RedisClient(url);
    await client.ping();
    await client.send("XADD", [name, "*", "text", "hello"]);
  }
  console.log("success");
} catch {
  console.log("error");
}
process.exit();
JS
cat >add.py <<'PY'
import asyncio, sys
import coredis, redis

name, port = sys.argv[1], int(sys.argv[2])

async def main():
    if name == "redis-py":
        client = redis.Redis(port=port)
        client.ping()
        client.xadd(name, {"text": "hello"})
    else:
        async with coredis.Redis(host="127.0.0.1", port=port) as client:
            await client.ping()
            await client.xadd(name, {"text": "hello"})

try:
    asyncio.run(main())
    print("success")
except BaseException:
    print("error")
PY
cat >Add.java <<'JAVA'
import io.lettuce.core.RedisClient;
import java.util.Map;
import redis.clients.jedis.RedisProtocol;
import redis.clients.jedis.StreamEntryID;

public class Add {
    public static void main(String[] args) {
        try {
            if (args[0].equals("Lettuce")) {
                RedisClient.create("redis://127.0.0.1:" + args[1]).connect().sync().xadd(args[0], Map.of("text", "hello"));
            } else {
                new redis.clients.jedis.RedisClient.Builder().hostAndPort("127.0.0.1", Integer.parseInt(args[1])).build().xadd(args[0], StreamEntryID.NEW_ENTRY, Map.of("text", "hello"));
            }
            System.out.println("success");
        } catch (Exception error) {
            System.out.println("error");
        }
        System.exit(0);
    }
}
JAVA
javac -cp 'lib/*' Add.java
mkdir add
cat >add/main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/gomodule/redigo/redis"
	goredis "github.com/redis/go-redis/v9"
)

func main() {
	address, ctx := "127.0.0.1:"+os.Args[2], context.Background()
	var err error
	if os.Args[1] == "go-redis" {
		client := goredis.NewClient(&goredis.Options{Addr: address})
		client.Ping(ctx)
		err = client.XAdd(ctx, &goredis.XAddArgs{Stream: os.Args[1], Values: []string{"text", "hello"}}).Err()
	} else {
		client, _ := redis.Dial("tcp", address)
		_, err = client.Do("XADD", os.Args[1], "*", "text", "hello")
	}
	if err != nil {
		fmt.Println("error")
	} else {
		fmt.Println("success")
	}
}
GO
cd add
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
go mod init add 2>/dev/null
go get github.com/redis/go-redis/v9@v9.23.0 github.com/gomodule/redigo@v1.9.3 2>/dev/null
go build -o ../add-go . 2>/dev/null
cd ..
port=$(free)
redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$dir" >/dev/null & redis=$!
until redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done
add() { # NAME PROGRAM...
  : >through
  python3 proxy.py "$port" >through 2>/dev/null & proxy=$!
  until [ -s through ]; do sleep 0.1; done
  outcome=$(timeout 40 "${@:2}" "$1" "$(cat through)" 2>/dev/null)
  kill $proxy
  echo "$1: $outcome, $(redis-cli -p "$port" xlen "$1") in the stream"
}
{
  add ioredis node add.mjs
  add redis-py venv/bin/python add.py
  add coredis venv/bin/python add.py
  add Lettuce java -cp '.:lib/*' Add
  add go-redis ./add-go
  add redis node add.mjs
  add Bun node_modules/.bin/bun add.mjs
  add Jedis java -cp '.:lib/*' Add
  add redigo ./add-go
} | tee seen
cat >expected <<'TXT'
ioredis: success, 2 in the stream
redis-py: success, 2 in the stream
coredis: success, 2 in the stream
Lettuce: success, 2 in the stream
go-redis: success, 2 in the stream
redis: error, 1 in the stream
Bun: error, 1 in the stream
Jedis: error, 1 in the stream
redigo: error, 1 in the stream
TXT
diff expected seen
