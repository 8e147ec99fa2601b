#!/usr/bin/env bash
# Lettuce 7.7.0 (Maven, io.lettuce:lettuce-core), ClientSideCaching with TrackingArgs.enabled() as its documentation has it, Java 17; redis 6.3.1 (npm) with its
# clientSideCache next to it. Debian's redis-server (7.0.15 when seen).
# Guess: a cache that the server keeps fresh drops what it has when it can no longer be told of changes: when the connection is lost, and when somebody
# says FLUSHALL or FLUSHDB, which the server announces too (an invalidation without keys). After the client has come back by itself, it is told of changes again.
# Seen: Lettuce comes back, but does not say CLIENT TRACKING again, and drops nothing: each value that is in the cache stays there for good, whatever is written, and each new
# one that is read is never invalidated either. An announced flush ends in a NullPointerException inside the client, logged
# as a warning, and everything stays in the cache. So prices, rights or sessions that were changed long ago are read after any short cut, until the process is restarted.
# Call CLIENT TRACKING and clear the map in a RedisConnectionStateListener's onRedisConnected, and let entries run out. The npm client does all of it by itself.
# Needs Java 17, Maven, Node, npm, redis-server and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund redis@6.3.1 >/dev/null
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>a</groupId><artifactId>a</artifactId><version>1</version><dependencies>
<dependency><groupId>io.lettuce</groupId><artifactId>lettuce-core</artifactId><version>7.7.0.RELEASE</version></dependency>
</dependencies></project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1
cat >Cached.java <<'JAVA'
import io.lettuce.core.RedisClient;
import io.lettuce.core.TrackingArgs;
import io.lettuce.core.support.caching.CacheAccessor;
import io.lettuce.core.support.caching.CacheFrontend;
import io.lettuce.core.support.caching.ClientSideCaching;
import java.util.concurrent.ConcurrentHashMap;

public class Cached {
    static void show(String when, CacheFrontend<String, String> cache, String key, String real) throws Exception {
        Thread.sleep(500);
        System.out.println("Lettuce, " + when + ": the cache says " + cache.get(key) + ", Redis " + real);
    }

    public static void main(String[] args) throws Exception {
        var client = RedisClient.create("redis://127.0.0.1:" + args[0]);
        var others = client.connect().sync();
        var connection = client.connect();
        var cache = ClientSideCaching.enable(CacheAccessor.forMap(new ConcurrentHashMap<>()), connection, TrackingArgs.Builder.enabled());
        others.set("price", "1");
        cache.get("price");
        others.set("price", "2");
        show("after a change", cache, "price", others.get("price"));
        others.flushall();
        show("after FLUSHALL", cache, "price", others.get("price"));
        others.set("price", "3");
        show("after the next change", cache, "price", others.get("price"));
        others.clientKill(io.lettuce.core.KillArgs.Builder.id(connection.sync().clientId()));
        Thread.sleep(1000);
        connection.sync().ping();
        others.set("price", "4");
        show("after a cut and a change", cache, "price", others.get("price"));
        others.set("other", "1");
        cache.get("other");
        others.set("other", "2");
        show("read after the cut, then changed", cache, "other", others.get("other"));
        System.exit(0);
    }
}
JAVA
javac -cp 'lib/*' Cached.java
cat >cached.mjs <<'JS'
import { BasicClientSideCache, createClient } from "redis";

const url = `redis://127.0.0.1:${process.argv[2]}`;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const others = await createClient({ url }).connect();
const client = createClient({ url, RESP: 3, clientSideCache: new BasicClientSideCache({}) }).on("error", () => {});
await client.connect();
async function show(when) {
  await pause(500);
  console.log(`redis, ${when}: the cache says ${await client.get("price")}, Redis ${await others.get("price")}`);
}
await others.set("price", "1");
await client.get("price");
await others.set("price", "2");
await show("after a change");
await others.flushAll();
await show("after FLUSHALL");
await others.set("price", "3");
await show("after the next change");
await others.sendCommand(["CLIENT", "KILL", "ID", String(await client.sendCommand(["CLIENT", "ID"]))]);
await pause(1000);
await others.set("price", "4");
await show("after a cut and a change");
process.exit(0);
JS
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
redis-server --port "$port" --bind 127.0.0.1 --save '' >log & server=$!
until redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done
{
  timeout 60 java -cp 'lib/*:.' Cached "$port" 2>java.log
  timeout 30 node cached.mjs "$port"
} | tee seen
grep -q NullPointerException java.log && echo "Lettuce logs a NullPointerException" | tee -a seen
cat >expected <<'TXT'
Lettuce, after a change: the cache says 2, Redis 2
Lettuce, after FLUSHALL: the cache says 2, Redis null
Lettuce, after the next change: the cache says 2, Redis 3
Lettuce, after a cut and a change: the cache says 2, Redis 4
Lettuce, read after the cut, then changed: the cache says 1, Redis 2
redis, after a change: the cache says 2, Redis 2
redis, after FLUSHALL: the cache says null, Redis null
redis, after the next change: the cache says 3, Redis 3
redis, after a cut and a change: the cache says 4, Redis 4
Lettuce logs a NullPointerException
TXT
diff expected seen
