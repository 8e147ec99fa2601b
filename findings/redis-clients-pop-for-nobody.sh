#!/usr/bin/env bash
# crates.io: redis 1.8.1, Lettuce 7.7.0 (Maven), ioredis 6.0.0 (npm), valkey-glide 2.6.0 (PyPI); redis 6.3.1 (npm), redis-py 8.1.0 (PyPI) and
# Jedis 8.0.2 (Maven) next to them. Debian's redis-server (7.0.15 when seen). BLPOP with 0, "wait for as long as it takes", on an empty list.
# Guess: a command that waits by its nature is not bound by the time limit for answers; and once a client has said "timed out", or the program has
# given the call up, nothing is taken from the list on its behalf: the next element waits for the next BLPOP.
# Seen: the crate's default limit, 500 ms, and Lettuce's (60 s by default, 500 ms here) end the call with an error, and the server goes on waiting for it:
# the next element is taken from the list and thrown away by the client. A worker that tries again after each error loses an element each
# time. ioredis with commandTimeout the same; with blockingTimeout, meant for such commands, it says null, as if the list had been empty, and
# loses the element too. valkey-glide keeps a call on that asyncio has cancelled. Lettuce's XREADGROUP leaves the entry pending, for nobody. redis, redis-py
# and Jedis give up the connection with the call, and nothing is lost.
# Needs cargo, Java 17, Maven, Node, npm, python3 with venv, redis-server and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ioredis@6.0.0 redis@6.3.1 >/dev/null
python3 -m venv venv
venv/bin/pip install -q valkey-glide==2.6.0 redis==8.1.0
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>a</groupId><artifactId>a</artifactId><version>1</version><dependencies>
<dependency><groupId>io.lettuce</groupId><artifactId>lettuce-core</artifactId><version>7.7.0.RELEASE</version></dependency>
<dependency><groupId>redis.clients</groupId><artifactId>jedis</artifactId><version>8.0.2</version></dependency>
</dependencies></project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"

[dependencies]
redis = { version = "=1.8.1", default-features = false, features = ["tokio-comp"] }
tokio = { version = "1", features = ["rt", "time", "macros"] }

[profile.dev]
debug = false
TOML
cat >src/main.rs <<'RUST'
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/", std::env::args().nth(1).unwrap())).unwrap();
    let mut waits = client.get_multiplexed_async_connection().await.unwrap();
    let answer: redis::RedisResult<Option<(String, String)>> = redis::cmd("BLPOP").arg("jobs").arg(0).query_async(&mut waits).await;
    let mut other = client.get_multiplexed_async_connection().await.unwrap();
    let _: i64 = redis::cmd("RPUSH").arg("jobs").arg("job").query_async(&mut other).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let left: i64 = redis::cmd("LLEN").arg("jobs").query_async(&mut other).await.unwrap();
    println!("crate redis, defaults: {}; left in the list: {left}", answer.unwrap_err());
    let _: i64 = redis::cmd("DEL").arg("jobs").query_async(&mut other).await.unwrap();
}
RUST
cargo build -q
cat >Wait.java <<'JAVA'
import io.lettuce.core.Consumer;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisURI;
import io.lettuce.core.XGroupCreateArgs;
import io.lettuce.core.XReadArgs;
import java.time.Duration;
import java.util.Map;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.params.XAddParams;

public class Wait {
    public static void main(String[] args) throws Exception {
        int port = Integer.parseInt(args[0]);
        Jedis other = new Jedis("127.0.0.1", port);
        var lettuce = RedisClient.create(RedisURI.builder().withHost("127.0.0.1").withPort(port).withTimeout(Duration.ofMillis(500)).build());
        var connection = lettuce.connect();
        String seen = "";
        try {
            connection.sync().blpop(0, "jobs");
        } catch (Exception error) {
            seen = error.getClass().getSimpleName();
        }
        other.rpush("jobs", "job");
        Thread.sleep(300);
        System.out.println("Lettuce: " + seen + "; left in the list: " + other.llen("jobs"));
        other.del("jobs");
        var reader = lettuce.connect().sync();
        reader.xgroupCreate(XReadArgs.StreamOffset.from("events", "0"), "workers", XGroupCreateArgs.Builder.mkstream());
        try {
            reader.xreadgroup(Consumer.from("workers", "one"), XReadArgs.Builder.block(0), XReadArgs.StreamOffset.lastConsumed("events"));
        } catch (Exception error) {
            seen = error.getClass().getSimpleName();
        }
        other.xadd("events", XAddParams.xAddParams(), Map.of("is", "event"));
        Thread.sleep(300);
        System.out.println("Lettuce, XREADGROUP: " + seen + "; pending: " + other.xpending("events", "workers").getTotal());
        Jedis waits = new Jedis("127.0.0.1", port, DefaultJedisClientConfig.builder().blockingSocketTimeoutMillis(500).build());
        try {
            waits.blpop(0, "jobs");
        } catch (Exception error) {
            seen = error.getClass().getSimpleName();
        }
        waits.close();
        other.rpush("jobs", "job");
        Thread.sleep(300);
        System.out.println("Jedis, blockingSocketTimeoutMillis: " + seen + "; left in the list: " + other.llen("jobs"));
        other.del("jobs");
        System.exit(0);
    }
}
JAVA
javac -cp 'lib/*' Wait.java
cat >wait.mjs <<'JS'
import { Redis } from "ioredis";
import { createClient } from "redis";

const port = Number(process.argv[2]);
const other = new Redis(port);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
async function show(name, call) {
  const answer = await call.then((value) => JSON.stringify(value), (error) => error.message);
  await other.rpush("jobs", "job");
  await pause(300);
  console.log(`${name}: ${answer}; left in the list: ${await other.llen("jobs")}`);
  await other.del("jobs");
}
await show("ioredis, commandTimeout", new Redis(port, { commandTimeout: 500 }).blpop("jobs", 0));
await show("ioredis, blockingTimeout", new Redis(port, { blockingTimeout: 500 }).blpop("jobs", 0));
const client = await createClient({ socket: { port, socketTimeout: 500 } }).on("error", () => {}).connect();
await show("redis, socketTimeout", client.blPop("jobs", 0).catch(() => { throw new Error("socket timeout"); }));
process.exit(0);
JS
cat >wait.py <<'PY'
import asyncio, sys
import redis, redis.asyncio
from glide import GlideClient, GlideClientConfiguration, NodeAddress

port = int(sys.argv[1])
other = redis.Redis(port=port)

async def show(name, call):
    try:
        answer = await asyncio.wait_for(call, 0.5)
    except asyncio.TimeoutError:
        answer = "cancelled"
    other.rpush("jobs", "job")
    await asyncio.sleep(0.3)
    print(f"{name}: {answer}; left in the list: {other.llen('jobs')}")
    other.delete("jobs")

async def main():
    glide = await GlideClient.create(GlideClientConfiguration([NodeAddress("127.0.0.1", port)]))
    await show("valkey-glide, wait_for", glide.blpop(["jobs"], 0))
    await show("redis-py, wait_for", redis.asyncio.Redis(port=port).blpop(["jobs"], 0))

asyncio.run(main())
PY
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no >log & server=$!
until redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done
{
  timeout 30 target/debug/probe "$port"
  timeout 60 java -cp 'lib/*:.' Wait "$port" 2>/dev/null
  timeout 30 node wait.mjs "$port"
  timeout 30 venv/bin/python wait.py "$port"
} | tee seen
cat >expected <<'TXT'
crate redis, defaults: timed out; left in the list: 0
Lettuce: RedisCommandTimeoutException; left in the list: 0
Lettuce, XREADGROUP: RedisCommandTimeoutException; pending: 1
Jedis, blockingSocketTimeoutMillis: JedisConnectionException; left in the list: 1
ioredis, commandTimeout: Command timed out; left in the list: 0
ioredis, blockingTimeout: null; left in the list: 0
redis, socketTimeout: socket timeout; left in the list: 1
valkey-glide, wait_for: cancelled; left in the list: 0
redis-py, wait_for: cancelled; left in the list: 1
TXT
diff expected seen
