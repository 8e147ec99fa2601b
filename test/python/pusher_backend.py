# A backend with the Pusher library for Python, for tests. Arguments: host, port, app id, key, secret. Prints what each call
# answered, or how it failed, as a line of JSON: [call, outcome]. WEBHOOK_SIGNATURE and WEBHOOK_BODY are those of a webhook, and SOCKET_ID
# is that of a client, which is signed as user 7.
import json
import os
import sys

from pusher import Pusher

host, port, app, key, secret = sys.argv[1:]


def client(with_secret: str) -> Pusher:
    return Pusher(app_id=app, key=key, secret=with_secret, host=host, port=int(port), ssl=False)


def run(name: str, call) -> None:
    try:
        outcome = call()
    except Exception as error:
        outcome = type(error).__name__
    print(json.dumps([name, outcome]))


pusher = client(secret)


def verified(signature: str, body: str) -> str:
    return pusher.validate_webhook(key, signature, body)["events"][0]["name"]


data = {"t": "é<&>/💥"}
many = [f"many-{i}" for i in range(100)]
batch = [{"channel": "batch", "name": f"e{i}", "data": str(i)} for i in range(10)]

run("trigger", lambda: pusher.trigger("news", "order", data))
run("text", lambda: pusher.trigger("news", "order", "hi"))
run("many", lambda: pusher.trigger(many, "e", "m"))
run("batch", lambda: pusher.trigger_batch(batch))
run("except", lambda: pusher.trigger("news", "e", "m", "123.456"))
run("user", lambda: pusher.send_to_user("42", "e", "m"))
run("channels", lambda: pusher.channels_info("news", ["subscription_count"]))
run("nobody", lambda: pusher.channels_info("nobody-"))
run("channel", lambda: pusher.channel_info("news", ["subscription_count"]))
run("users", lambda: pusher.users_info("presence-room"))
run("users of a public channel", lambda: pusher.users_info("news"))
run("terminate", lambda: pusher.terminate_user_connections("42"))
socket = os.environ["SOCKET_ID"]
info = {"name": "é<"}
run("private", lambda: pusher.authenticate("private-x", socket))
run("presence", lambda: pusher.authenticate("presence-x", socket, {"user_id": 7, "user_info": info}))
run("sign in", lambda: pusher.authenticate_user(socket, {"id": "7", "user_info": info}))
run("webhook", lambda: verified(os.environ["WEBHOOK_SIGNATURE"], os.environ["WEBHOOK_BODY"]))
run("a wrong secret", lambda: client("wrong").trigger("news", "e", "m"))
run("a long channel", lambda: pusher.trigger("x" * 201, "e", "m"))
