#!/usr/bin/env bash
# aio-pika 10.2.1 (PyPI, connect_robust) and rabbitmq-client 5.0.8 (npm), AMQP consumers of a RabbitMQ stream; rstream 1.1.1 (PyPI), a client of
# the stream protocol. Debian's RabbitMQ (3.10.8 when seen). The connection is cut and refused for 4 s; the broker lives on.
# Guess: a client that comes back by itself, with its consumers, goes on behind the last message that the program has acknowledged: a stream has numbered
# messages, and each delivery says its number.
# Seen: the first two send the consume of the beginning again, with the x-stream-offset that it had. "first" hands out the whole stream a
# second time, acknowledged or not, be it a million messages; "next" leaves out, for good, what was published while the connection was away.
# amqp-connection-manager 5.0.0 and Java's amqp-client 5.26.0, seen by hand, do the same. rstream's consumer comes back not at all: run() goes on
# waiting, without an error. Java's stream-client 1.2.0, seen by hand, goes on where it was. Keep the offset with the data, and give it when consuming anew.
# Needs Node, npm, python3 with venv, rabbitmq-server (as root) and the registries. Takes 3 minutes. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; proxy=
trap 'kill $proxy 2>/dev/null || true; kill -9 "$(cat pid 2>/dev/null)" 2>/dev/null || true; sleep 1; epmd -port "${epmd:-1}" -kill >/dev/null 2>&1 || true; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund rabbitmq-client@5.0.8 >/dev/null
python3 -m venv venv
venv/bin/pip install -q aio-pika==10.2.1 rstream==1.1.1
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
amqp=$(free); stream=$(free); dist=$(free); epmd=$(free); amqp_proxy=$(free); stream_proxy=$(free)
cat >rabbitmq.conf <<TXT
listeners.tcp.1 = 127.0.0.1:$amqp
stream.listeners.tcp.1 = 127.0.0.1:$stream
stream.advertised_host = 127.0.0.1
stream.advertised_port = $stream_proxy
TXT
echo '[rabbitmq_stream].' >plugins
env HOME="$dir" RABBITMQ_NODENAME="probe$amqp@localhost" RABBITMQ_DIST_PORT="$dist" ERL_EPMD_PORT="$epmd" RABBITMQ_MNESIA_BASE="$dir/mnesia" \
  RABBITMQ_LOG_BASE="$dir/log" RABBITMQ_ENABLED_PLUGINS_FILE="$dir/plugins" RABBITMQ_CONFIG_FILE="$dir/rabbitmq" RABBITMQ_PID_FILE="$dir/pid" \
  /usr/lib/rabbitmq/bin/rabbitmq-server >out 2>&1 &
for _ in {1..600}; do (: <"/dev/tcp/127.0.0.1/$stream") 2>/dev/null && break; sleep 0.1; done
# SIGUSR1 cuts all connections and refuses new ones for 4 s.
cat >proxy.py <<'PY'
import asyncio, signal, sys

writers, refusing = set(), False

async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()

def serve(target):
    async def handle(reader, writer):
        if refusing:
            return writer.close()
        there, back = await asyncio.open_connection("127.0.0.1", target)
        writers.update((writer, back))
        await asyncio.gather(pump(reader, back), pump(there, writer))
    return handle

def cut():
    def end():
        global refusing
        refusing = False
    global refusing
    refusing = True
    for writer in writers:
        writer.transport.abort()
    writers.clear()
    asyncio.get_running_loop().call_later(4, end)

async def main():
    for pair in sys.argv[1:]:
        port, target = pair.split(":")
        await asyncio.start_server(serve(int(target)), "127.0.0.1", int(port))
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, cut)
    await asyncio.Event().wait()

asyncio.run(main())
PY
python3 proxy.py "$amqp_proxy:$amqp" "$stream_proxy:$stream" 2>/dev/null & proxy=$!
cat >node.mjs <<'JS'
import { Connection } from "rabbitmq-client";

const [, , port, queue, offset] = process.argv;
const connection = new Connection({ url: `amqp://guest:guest@127.0.0.1:${port}/`, retryLow: 500 });
connection.on("error", () => {});
connection
  .createConsumer({ queue, queueOptions: { passive: true }, qos: { prefetchCount: 50 }, arguments: { "x-stream-offset": offset } }, async (message) => {
    console.log(String(message.body));
  })
  .on("error", () => {});
JS
cat >consume.py <<'PY'
import asyncio, sys
import aio_pika
from rstream import Consumer, ConsumerOffsetSpecification, OffsetType

library, port, queue, offset = sys.argv[1:]

async def main():
    if library == "rstream":
        async def handle(message, context):
            print(context.offset + 1, flush=True)
        consumer = Consumer(host="127.0.0.1", port=int(port), vhost="/", username="guest", password="guest")
        await consumer.start()
        await consumer.subscribe(queue, handle, offset_specification=ConsumerOffsetSpecification(OffsetType[offset.upper()], None))
        await consumer.run()
        print("run() has returned", flush=True)
    else:
        connection = await aio_pika.connect_robust(f"amqp://guest:guest@127.0.0.1:{port}/", reconnect_interval=1)
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=50)
        async def handle(message):
            print(message.body.decode(), flush=True)
            await message.ack()
        stream = await channel.declare_queue(queue, durable=True, arguments={"x-queue-type": "stream"})
        await stream.consume(handle, arguments={"x-stream-offset": offset})
    await asyncio.Event().wait()

asyncio.run(main())
PY
# Publishes 1 to 6 in pairs: before the consumer's time, while it is connected, and while it is away; then 7 and 8 when it could be back.
cat >try.py <<'PY'
import asyncio, os, signal, subprocess, sys
import aio_pika

amqp, proxy, amqp_proxy, stream_proxy = map(int, sys.argv[1:])
cases = [
    ("aio-pika", amqp_proxy, "first"), ("aio-pika", amqp_proxy, "next"), ("rabbitmq-client", amqp_proxy, "first"), ("rabbitmq-client", amqp_proxy, "next"),
    ("rstream", stream_proxy, "first"),
]

async def main():
    connection = await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{amqp}/")
    channel = await connection.channel()
    for library, port, offset in cases:
        queue = f"{library}-{offset}"
        await channel.declare_queue(queue, durable=True, arguments={"x-queue-type": "stream"})

        async def publish(*numbers):
            for number in numbers:
                await channel.default_exchange.publish(aio_pika.Message(str(number).encode()), queue)

        await publish(1, 2)
        program = ["node", "node.mjs"] if library == "rabbitmq-client" else ["venv/bin/python", "consume.py", library]
        consumer = subprocess.Popen([*program, str(port), queue, offset], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        await asyncio.sleep(4)
        await publish(3, 4)
        await asyncio.sleep(1)
        os.kill(proxy, signal.SIGUSR1)
        await asyncio.sleep(1)
        await publish(5, 6)
        await asyncio.sleep(12)
        await publish(7, 8)
        await asyncio.sleep(2)
        consumer.kill()
        print(f"{library}, {offset}: {' '.join(consumer.communicate()[0].split())}", flush=True)
    await connection.close()

asyncio.run(main())
PY
timeout 200 venv/bin/python try.py "$amqp" "$proxy" "$amqp_proxy" "$stream_proxy" | tee seen
cat >expected <<'TXT'
aio-pika, first: 1 2 3 4 1 2 3 4 5 6 7 8
aio-pika, next: 3 4 7 8
rabbitmq-client, first: 1 2 3 4 1 2 3 4 5 6 7 8
rabbitmq-client, next: 3 4 7 8
rstream, first: 1 2 3 4
TXT
diff expected seen
