#!/usr/bin/env bash
# Debian's RabbitMQ (3.10.8 when seen) with its STOMP plugin, one node, its defaults; the client is stomp.py 9.0.0 (PyPI), STOMP 1.2, durable queues.
# Guess: with ack:client an ACK is for its message and "all messages sent to the subscription before" it (STOMP 1.2, SUBSCRIBE); what another subscription of the same
# connection has in hand, and all the more a message of one with ack:client-individual, waits for an ACK of its own and is delivered again when the connection ends.
# Seen: an ACK in a subscription with ack:client acknowledges every message that the connection has been sent before, in all its subscriptions, those with
# client-individual too. They were never acknowledged, and are gone: a worker that has one connection for several queues, and dies over an order after it has
# acknowledged a mail, has lost the order. No error, nothing in the log. Use client-individual everywhere, or one connection for each subscription with ack:client.
# Needs python3 with venv, rabbitmq-server (as root) and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
amqp=$(free); dist=$(free); epmd=$(free); stomp=$(free)
trap 'kill -9 $(cat pid 2>/dev/null) 2>/dev/null || true; sleep 0.5; ERL_EPMD_PORT=$epmd epmd -kill >/dev/null 2>&1 || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
python3 -m venv venv
venv/bin/pip install -q stomp.py==9.0.0
printf 'listeners.tcp.1 = 127.0.0.1:%s\nstomp.listeners.tcp.1 = 127.0.0.1:%s\n' "$amqp" "$stomp" >rabbitmq.conf
echo '[rabbitmq_stomp].' >plugins
env HOME="$dir" RABBITMQ_NODENAME="probe$amqp@localhost" RABBITMQ_DIST_PORT="$dist" ERL_EPMD_PORT="$epmd" RABBITMQ_MNESIA_BASE="$dir/mnesia" \
  RABBITMQ_LOG_BASE="$dir/log" RABBITMQ_ENABLED_PLUGINS_FILE="$dir/plugins" RABBITMQ_CONFIG_FILE="$dir/rabbitmq" RABBITMQ_PID_FILE="$dir/pid" \
  /usr/lib/rabbitmq/bin/rabbitmq-server >>out 2>&1 &
cat >probe.py <<'PY'
import logging, sys, time
import stomp

logging.disable(logging.CRITICAL)

class Seen(stomp.ConnectionListener):
    def __init__(self):
        self.messages = []

    def on_message(self, frame):
        self.messages.append(frame)

def connect():
    while True:
        connection, seen = stomp.Connection12([("127.0.0.1", int(sys.argv[1]))], vhost="/", reconnect_attempts_max=1), Seen()
        connection.set_listener("", seen)
        try:
            connection.connect("guest", "guest", wait=True)
            return connection, seen
        except Exception:
            time.sleep(0.3)

def until(seen, count):
    for _ in range(60):
        if len(seen.messages) >= count:
            break
        time.sleep(0.1)
    time.sleep(0.5)
    return sorted(frame.body for frame in seen.messages)

for acknowledged in ("nothing", "mail"):
    worker, seen = connect()
    for name, ack in (("orders", "client"), ("payments", "client-individual"), ("mails", "client")):
        worker.subscribe(f"/queue/{acknowledged}-{name}", id=name, ack=ack)
    sender, _ = connect()
    for count, name in enumerate(("orders", "payments", "mails")):
        sender.send(f"/queue/{acknowledged}-{name}", name[:-1], headers={"persistent": "true"})
        until(seen, count + 1)
    print(f"has in hand: {' '.join(until(seen, 3))}; acknowledges: {acknowledged}")
    for frame in seen.messages:
        if frame.body == acknowledged:
            worker.ack(frame.headers["ack"])
    time.sleep(1)
    worker.transport.disconnect_socket()
    time.sleep(1)
    other, again = connect()
    for name in ("orders", "payments", "mails"):
        other.subscribe(f"/queue/{acknowledged}-{name}", id=name, ack="client-individual")
    print(f"died; delivered again: {' '.join(until(again, 3)) or 'nothing'}", flush=True)
    other.disconnect()
    sender.disconnect()
PY
timeout 90 venv/bin/python probe.py "$stomp" 2>err | tee seen
cat >expected <<'TXT'
has in hand: mail order payment; acknowledges: nothing
died; delivered again: mail order payment
has in hand: mail order payment; acknowledges: mail
died; delivered again: nothing
TXT
diff expected seen
