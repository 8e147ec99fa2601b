"""A client of pysher, for tests. Its arguments are the relay's host and port, the key, the secret and the user whom its backend knows.

It carries out the lines that it is given, `subscribe CHANNEL` and `trigger CHANNEL`, and prints a line of JSON for each event.
"""

import json
import sys
import threading
from collections import deque

from pysher import Pusher

host, port, key, secret, user = sys.argv[1:]
printing = threading.Lock()
channels: dict = {}
lines: deque = deque()


def emit(*values: object) -> None:
    with printing:
        print(json.dumps(values))


pusher = Pusher(
    key,
    secret=secret,
    user_data={"user_id": user},
    custom_host=host,
    port=int(port),
    secure=False,
    reconnect_interval=1,
)


def subscribe(name: str) -> None:
    channel = channels[name] = pusher.subscribe(name)

    def show(event: str) -> None:
        channel.bind(event, lambda data: emit("event", name, event, data))

    for event in ("order", "client-typing", "pusher:cache_miss"):
        show(event)

    def members(data: str) -> None:
        presence = json.loads(data).get("presence")
        if presence is not None:
            emit("members", name, sorted(presence["ids"]))
        emit("subscribed", name)

    channel.bind("pusher_internal:subscription_succeeded", members)
    channel.bind("pusher:subscription_error", lambda data: emit("refused", name))
    for event in ("added", "removed"):
        channel.bind(
            f"pusher_internal:member_{event}",
            lambda data, event=event: emit(event, name, json.loads(data)["user_id"]),
        )


def connected(_: str) -> None:
    emit("state", "connected", pusher.connection.socket_id)
    # What it would do by itself with auto_sub has no signatures.
    for name in list(channels):
        subscribe(name)




def carry_out(_: str) -> None:
    while lines:
        call, name = lines.popleft().split()
        if call == "subscribe":
            subscribe(name)
        else:
            channels[name].trigger("client-typing", {"n": 1})


pusher.connection.bind("pusher:connection_established", connected)
# On the thread that reads: pysher drops an answer that comes before `subscribe` has returned.
pusher.connection.bind("pusher:pong", carry_out)
pusher.connection.bind("pusher:error", lambda data: emit("error", str(data["code"])))
pusher.connect()

for line in sys.stdin:
    lines.append(line)
    pusher.connection.send_event("pusher:ping", "")
