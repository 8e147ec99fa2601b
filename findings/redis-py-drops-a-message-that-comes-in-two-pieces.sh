#!/usr/bin/env bash
# redis-py 8.1.0 (PyPI), pub/sub, get_message(timeout=...) and run_in_thread(); its listen(), its redis.asyncio, redis-py 5.3.1 and valkey 6.2.0 (a fork of it) next to
# them. Debian's redis-server (7.0.15 when seen).
# Guess: a time limit says how long to wait for a message. When it strikes while half of a message is there, the rest is read by the next call: TCP cuts where
# it likes, and between two networks the pieces of a message come apart by any length of time.
# Seen: the connection is closed, and what was read of the message is dropped. The call returns None, as if nothing had come, and the next one connects and subscribes
# anew; no error is raised. Here each message comes in two pieces, 0.35 s apart, the limit is 0.1 s, and none of five arrives.
# What is published between the two connections is lost as well. A client near its server, which tests use, never sees it, nor does one with a limit of some seconds.
# listen(), which has no limit, redis.asyncio, redis-py 5.3.1 and valkey get all five over one connection.
# Needs python3 with venv, redis-server and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; redis=; proxy=
trap 'kill $redis $proxy 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
python3 -m venv venv; python3 -m venv older
venv/bin/pip install -q redis==8.1.0 valkey==6.2.0
older/bin/pip install -q redis==5.3.1
# Between client and Redis: a message is cut in two, 0.35 s apart. Counts the connections of its client.
cat >proxy.py <<'PY'
import asyncio, sys

count = 0

async def handle(reader, writer):
    global count
    count += 1
    with open("connections", "w") as file:
        file.write(str(count))
    there, back = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    async def pump(reader, writer):
        try:
            while data := await reader.read(65536):
                at = data.find(b"message-")
                if at > 0:
                    writer.write(data[:at + 4])
                    await writer.drain()
                    await asyncio.sleep(0.35)
                    data = data[at + 4:]
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()
    await asyncio.gather(pump(reader, back), pump(there, writer))

async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
PY
cat >listen.py <<'PY'
import asyncio, os, sys, threading, time

way, port, direct = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if way == "valkey":
    import valkey as redis
    Client = redis.Valkey
else:
    import redis
    Client = redis.Redis
got, errors = [], []

def end():
    with open("connections") as file:
        print(f"{len(got)} of 5, {'one connection' if file.read() == '1' else 'several connections'}, {'errors' if errors else 'no error'}", flush=True)
    os._exit(0)

# Publishes as soon as somebody is subscribed, and waits until somebody is before each.
def publish():
    client = Client(port=direct)
    for number in range(5):
        while client.pubsub_numsub("news")[0][1] == 0:
            time.sleep(0.01)
        client.publish("news", f"message-{number}")
        time.sleep(1)
    time.sleep(1)
    end()

def keep(message):
    if message and message["type"] == "message":
        got.append(message["data"])

threading.Thread(target=publish, daemon=True).start()
if way == "redis.asyncio":
    import redis.asyncio
    async def main():
        pubsub = redis.asyncio.Redis(port=port).pubsub()
        await pubsub.subscribe("news")
        while True:
            keep(await pubsub.get_message(timeout=0.1))
    asyncio.run(main())
pubsub = Client(port=port).pubsub()
if way == "run_in_thread":
    pubsub.subscribe(news=keep)
    pubsub.run_in_thread(sleep_time=0.1, exception_handler=lambda error, *_: errors.append(error)).join()
pubsub.subscribe("news")
if way == "listen":
    for message in pubsub.listen():
        keep(message)
while True:
    try:
        keep(pubsub.get_message(timeout=0.1))
    except Exception as error:
        errors.append(error)
PY
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$dir" >/dev/null & redis=$!
until redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done
try() { # NAME PYTHON WAY
  : >through
  python3 proxy.py "$port" >through 2>/dev/null & proxy=$!
  until [ -s through ]; do sleep 0.1; done
  echo "$1: $(timeout 40 "$2" listen.py "$3" "$(cat through)" "$port" 2>/dev/null)"
  kill $proxy; wait $proxy 2>/dev/null || true
  until [ "$(redis-cli -p "$port" pubsub numsub news | tail -n 1)" = 0 ]; do sleep 0.1; done
}
{
  try "get_message" venv/bin/python get_message
  try "run_in_thread" venv/bin/python run_in_thread
  try "listen" venv/bin/python listen
  try "redis.asyncio" venv/bin/python redis.asyncio
  try "redis-py 5.3.1" older/bin/python get_message
  try "valkey" venv/bin/python valkey
} | tee seen
cat >expected <<'TXT'
get_message: 0 of 5, several connections, no error
run_in_thread: 0 of 5, several connections, no error
listen: 5 of 5, one connection, no error
redis.asyncio: 5 of 5, one connection, no error
redis-py 5.3.1: 5 of 5, one connection, no error
valkey: 5 of 5, one connection, no error
TXT
diff expected seen
