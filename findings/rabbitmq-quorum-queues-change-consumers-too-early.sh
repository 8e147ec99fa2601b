#!/usr/bin/env bash
# Debian's RabbitMQ (3.10.8 when seen), one node, its defaults; queues with x-single-active-consumer; the clients are aio-pika 10.2.1 (PyPI), prefetch 5.
# Guess: with a single active consumer the next one starts where the last one has ended, so messages are handled one after the other, in their order. A worker
# that is stopped the usual way (it cancels its consumer, finishes and acknowledges what it has in hand, and closes) is no exception.
# Seen: a classic queue keeps to it: the next consumer gets nothing until the last one has settled what it holds. A quorum queue makes the next one active at the
# cancel: it gets the later messages at once, beside the first worker that is still at the earlier ones, and what that one gives back arrives behind
# them. Moving to quorum queues, which RabbitMQ advises for what must not be lost, so turns each deploy of a worker into a chance to handle
# one customer's messages in parallel and out of order.
# Needs python3 with venv, rabbitmq-server (as root) and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
amqp=$(free); dist=$(free); epmd=$(free)
trap 'kill -9 $(cat pid 2>/dev/null) 2>/dev/null || true; sleep 0.5; ERL_EPMD_PORT=$epmd epmd -kill >/dev/null 2>&1 || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
python3 -m venv venv
venv/bin/pip install -q aio-pika==10.2.1
echo "listeners.tcp.1 = 127.0.0.1:$amqp" >rabbitmq.conf
echo '[].' >plugins
start() {
  rm -f pid
  env HOME="$dir" RABBITMQ_NODENAME="probe$amqp@localhost" RABBITMQ_DIST_PORT="$dist" ERL_EPMD_PORT="$epmd" RABBITMQ_MNESIA_BASE="$dir/mnesia" \
    RABBITMQ_LOG_BASE="$dir/log" RABBITMQ_ENABLED_PLUGINS_FILE="$dir/plugins" RABBITMQ_CONFIG_FILE="$dir/rabbitmq" RABBITMQ_PID_FILE="$dir/pid" \
    /usr/lib/rabbitmq/bin/rabbitmq-server >>out 2>&1 &
}
cat >probe.py <<'PY'
import asyncio, logging, sys
from aio_pika import Message, connect

logging.disable(logging.CRITICAL)
port = sys.argv[1]

async def until_there():
    while True:
        try:
            return await connect(f"amqp://guest:guest@127.0.0.1:{port}/")
        except Exception:
            await asyncio.sleep(0.1)

async def main():
    connection = await until_there()
    for kind in ("classic", "quorum"):
        first, second = await connection.channel(), await connection.channel()
        for channel in (first, second):
            await channel.set_qos(5)
        name = f"orders-{kind}"
        queue = await first.declare_queue(name, durable=True, arguments={"x-queue-type": kind, "x-single-active-consumer": True})
        held, got = [], []

        async def hold(message):
            held.append(message)

        async def handle(message):
            got.append(int(message.body))
            await message.ack()

        def since():
            shown = " ".join(map(str, got)) or "nothing"
            got.clear()
            return shown

        tag = await queue.consume(hold)
        await (await second.get_queue(name)).consume(handle)
        for number in range(10):
            await first.default_exchange.publish(Message(str(number).encode()), name)
        await asyncio.sleep(1.5)
        print(f"{kind}: the first holds {' '.join(message.body.decode() for message in held)}, the second got {since()}", flush=True)
        await queue.cancel(tag)
        await asyncio.sleep(1.5)
        print(f"{kind}: the first has cancelled and holds them still, the second got {since()}", flush=True)
        for message in held[:3]:
            await message.ack()
        await first.close()
        await asyncio.sleep(1.5)
        print(f"{kind}: the first has acknowledged 0 1 2 and closed, the second got {since()}", flush=True)
    await connection.close()

asyncio.run(main())
PY
start
timeout 90 venv/bin/python probe.py "$amqp" 2>/dev/null | tee seen
cat >expected <<'TXT'
classic: the first holds 0 1 2 3 4, the second got nothing
classic: the first has cancelled and holds them still, the second got nothing
classic: the first has acknowledged 0 1 2 and closed, the second got 3 4 5 6 7 8 9
quorum: the first holds 0 1 2 3 4, the second got nothing
quorum: the first has cancelled and holds them still, the second got 5 6 7 8 9
quorum: the first has acknowledged 0 1 2 and closed, the second got 3 4
TXT
diff expected seen
