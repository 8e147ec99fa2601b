#!/usr/bin/env bash
# litestar 2.25.0 (PyPI), its channels plugin with both Redis backends, and broadcaster 0.3.1 (PyPI), with redis-py 5.3.1; channels_redis 4.3.0 and
# python-socketio 5.18.1 next to them. Debian's redis-server (7.0.15 when seen), with an append-only file that is written at once.
# Guess: what hands messages from process to process by Redis has lost some when Redis restarts, or its connection is cut, and goes on a moment later,
# since each of them is made for servers that run for months; or else it says that it cannot.
# Seen: in litestar, with the pub/sub backend and with the one that reads streams, the one task that reads from Redis ends with the first error, and nobody
# looks at it: not a word is logged, publishing works again, clients stay connected, and this process delivers nothing any more until
# it is restarted. Processes that were started later deliver, so that it looks like a fault of some users. broadcaster the same. The others go on.
# Needs python3 with venv, redis-server and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"
trap 'kill "$(cat redis.pid 2>/dev/null)" 2>/dev/null || true; rm -rf "$dir"' EXIT
python3 -m venv venv
venv/bin/pip install -q litestar==2.25.0 'broadcaster[redis]==0.3.1' channels-redis==4.3.0 python-socketio==5.18.1 redis==5.3.1
cat >restart.py <<'PY'
import asyncio, os, subprocess, sys, time
import redis, redis.asyncio
import socketio
from broadcaster import Broadcast
from channels_redis.pubsub import RedisPubSubChannelLayer
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.redis import RedisChannelsPubSubBackend, RedisChannelsStreamBackend

port = int(sys.argv[1])
url = f"redis://127.0.0.1:{port}/0"

def start():
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    with open("redis.pid", "w") as file:
        file.write(str(server.pid))
    while True:
        try:
            redis.Redis(port=port).ping()
            return server
        except redis.RedisError:
            time.sleep(0.1)

async def litestar(backend, name):
    plugin = await ChannelsPlugin(backend=backend, channels=[name]).__aenter__()
    subscriber, seen = await plugin.subscribe(name), []
    async def read():
        async for event in subscriber.iter_events():
            seen.append(event.decode())
    return seen, read(), lambda text: plugin.wait_published(text, name)

async def broadcast():
    bus, seen = Broadcast(url), []
    await bus.connect()
    async def read():
        async with bus.subscribe("broadcaster") as events:
            async for event in events:
                seen.append(event.message)
    return seen, read(), lambda text: bus.publish("broadcaster", text)

async def layer():
    channels, seen = RedisPubSubChannelLayer(hosts=[url]), []
    name = await channels.new_channel()
    await channels.group_add("layer", name)
    async def read():
        while True:
            seen.append((await channels.receive(name))["text"])
    return seen, read(), lambda text: channels.group_send("layer", {"type": "message", "text": text})

async def manager():
    seen, managers = [], []
    for _ in range(2):
        one = socketio.AsyncRedisManager(url)
        one.set_server(socketio.AsyncServer(async_mode="asgi", client_manager=one))
        one.initialize()
        managers.append(one)
    async def handle(message):
        seen.append(message["data"][0] if isinstance(message["data"], list) else message["data"])
    managers[0]._handle_emit = handle
    return seen, asyncio.sleep(0), lambda text: managers[1].emit("message", text)

async def main():
    server = start()
    streams = RedisChannelsStreamBackend(history=10, redis=redis.asyncio.Redis.from_url(url))
    cases = {
        "litestar, pub/sub": await litestar(RedisChannelsPubSubBackend(redis=redis.asyncio.Redis.from_url(url)), "pubsub"),
        "litestar, streams": await litestar(streams, "streams"),
        "broadcaster": await broadcast(),
        "channels_redis": await layer(),
        "python-socketio": await manager(),
    }
    readers = [asyncio.create_task(read) for _, read, _ in cases.values()]

    async def publish(text):
        for _, _, send in cases.values():
            try:
                await asyncio.wait_for(send(text), 5)
            except Exception:
                pass # The first one after the restart may fail.
    await asyncio.sleep(1)
    await publish("before")
    await asyncio.sleep(1)
    server.kill()
    server.wait()
    await asyncio.sleep(2)
    server = start()
    for _ in range(4):
        await asyncio.sleep(3)
        await publish("after")
    await asyncio.sleep(2)
    for name, (seen, _, _) in cases.items():
        print(f"{name}: {'before' if 'before' in seen else 'nothing'}, {'after' if 'after' in seen else 'nothing after'}", flush=True)
    server.kill()
    os._exit(0)

asyncio.run(main())
PY
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
{
  timeout 100 venv/bin/python restart.py "$port" 2>log
  echo "lines on stderr with the name of litestar or broadcaster: $(grep -c 'litestar\|broadcaster' log)"
} | tee seen
cat >expected <<'TXT'
litestar, pub/sub: before, nothing after
litestar, streams: before, nothing after
broadcaster: before, nothing after
channels_redis: before, after
python-socketio: before, after
lines on stderr with the name of litestar or broadcaster: 0
TXT
diff expected seen
