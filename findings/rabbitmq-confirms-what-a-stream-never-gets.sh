#!/usr/bin/env bash
# Debian's RabbitMQ (3.10.8 when seen), one node, its defaults; the publisher is aio-pika 10.2.1 (PyPI), persistent messages with publisher confirms.
# Guess: what the server has confirmed is in the durable queue that is bound to the exchange, also when the server was killed and has just come back.
# That is what a confirm is for, and a classic queue keeps to it.
# Seen: after kill -9 RabbitMQ accepts connections some seconds before its streams are up. Until then an exchange does not know them: it routes to nothing,
# so each message is confirmed and dropped. The publisher, which waits for every confirm and sends again what has none, has lost them all, and nobody has
# logged a word. With the "mandatory" flag each comes back as unroutable (312) before it is confirmed, so a publisher must set it and send those again.
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
from aio_pika import DeliveryMode, Message, connect

logging.disable(logging.CRITICAL)
step, port = sys.argv[1:]

async def until_there():
    while True:
        try:
            return await connect(f"amqp://guest:guest@127.0.0.1:{port}/")
        except Exception:
            await asyncio.sleep(0.01)

async def publish(exchange, text, mandatory):
    message = Message(text.encode(), delivery_mode=DeliveryMode.PERSISTENT)
    answer = await asyncio.wait_for(exchange.publish(message, "", mandatory=mandatory), 30)
    return "confirmed" if type(answer).__name__ == "Ack" else "returned"

async def read(connection, name):
    got = []
    async def keep(message):
        got.append(message.body.decode())
        await message.ack()
    channel = await connection.channel()
    await channel.set_qos(100)
    queue = await channel.get_queue(name, ensure=False)
    await queue.consume(keep, arguments={"x-stream-offset": "first"} if name == "stream" else {})
    while "last" not in got:
        await asyncio.sleep(0.1)
    return got

async def main():
    connection = await until_there()
    channel = await connection.channel(publisher_confirms=True)
    if step == "declare":
        for kind in ("stream", "classic"):
            queue = await channel.declare_queue(kind, durable=True, arguments={"x-queue-type": kind})
            exchange = await channel.declare_exchange(f"to-{kind}", "fanout", durable=True)
            await queue.bind(exchange)
            await publish(exchange, "before", True)
        await asyncio.sleep(3)
    else:
        for kind in ("stream", "classic"):
            exchange = await channel.get_exchange(f"to-{kind}", ensure=False)
            outcomes = await asyncio.gather(*(publish(exchange, f"at once {number}", False) for number in range(10)))
            returned = False
            while await publish(exchange, "last", True) == "returned":
                returned = True
                await asyncio.sleep(0.1)
            got = await read(connection, kind)
            there = sum(text.startswith("at once") for text in got)
            print(f"{kind}: {outcomes.count('confirmed')} confirmed, {there} there; mandatory: {'returned, later ' if returned else ''}there", flush=True)
    await connection.close()

asyncio.run(main())
PY
start
timeout 60 venv/bin/python probe.py declare "$amqp" 2>/dev/null
kill -9 "$(cat pid)"; sleep 1
start
timeout 60 venv/bin/python probe.py publish "$amqp" 2>/dev/null | tee seen
cat >expected <<'TXT'
stream: 10 confirmed, 0 there; mandatory: returned, later there
classic: 10 confirmed, 10 there; mandatory: there
TXT
diff expected seen
