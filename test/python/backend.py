"""Calls every method of cent as its users do. Prints a line of JSON for each call: its name and its outcome.

argv[1]: the address of the server API; argv[2]: its key.
"""

import asyncio
import json
import sys

from cent import (
    AsyncClient,
    BatchRequest,
    BroadcastRequest,
    CentApiResponseError,
    CentUnauthorizedError,
    ChannelsRequest,
    Client,
    Disconnect,
    DisconnectRequest,
    HistoryRemoveRequest,
    HistoryRequest,
    InfoRequest,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    RefreshRequest,
    StreamPosition,
    SubscribeRequest,
    UnsubscribeRequest,
)

URL, KEY = sys.argv[1:]
client = Client(URL, KEY)


def report(name, call):
    try:
        outcome = call().model_dump(exclude_none=True, serialize_as_any=True)
    except CentApiResponseError as error:
        outcome = error.code
    except CentUnauthorizedError:
        outcome = "unauthorized"
    print(json.dumps([name, outcome]), flush=True)


publish = PublishRequest(channel="room", data={"n": 1.0}, tags={"a": "b"}, idempotency_key="once")
report("publish", lambda: client.publish(publish))
report("publish again", lambda: client.publish(publish))
report("publish to no channel", lambda: client.publish(PublishRequest(channel="", data=1)))
report("broadcast", lambda: client.broadcast(BroadcastRequest(channels=["room", "brief:a", ""], data=2)))
report("history", lambda: client.history(HistoryRequest(channel="room", limit=10)))
since = StreamPosition(offset=1, epoch="another")
report("history of another epoch", lambda: client.history(HistoryRequest(channel="room", limit=1, since=since)))
report("history that is not kept", lambda: client.history(HistoryRequest(channel="brief:a", limit=1)))
report("presence", lambda: client.presence(PresenceRequest(channel="room")))
report("presence_stats", lambda: client.presence_stats(PresenceStatsRequest(channel="room")))
report("channels", lambda: client.channels(ChannelsRequest(pattern="r*")))
report("info", lambda: client.info(InfoRequest()))
subscription = SubscribeRequest(user="42", channel="other", info={"a": 1}, data={"b": 2})
report("subscribe", lambda: client.subscribe(subscription))
report("unsubscribe", lambda: client.unsubscribe(UnsubscribeRequest(user="42", channel="other")))
report("refresh", lambda: client.refresh(RefreshRequest(user="42", expire_at=2_000_000_000)))
batch = BatchRequest(requests=[publish, PresenceStatsRequest(channel="room")], parallel=True)
report("batch", lambda: client.batch(batch))
report("history_remove", lambda: client.history_remove(HistoryRemoveRequest(channel="room")))
disconnection = DisconnectRequest(user="42", disconnect=Disconnect(), whitelist=["nobody"])
report("disconnect", lambda: client.disconnect(disconnection))
report("with a wrong key", lambda: Client(URL, "wrong").info(InfoRequest()))


async def publish_async():
    other = AsyncClient(URL, KEY)
    answer = await other.publish(PublishRequest(channel="room", data="async"))
    await other.close()
    return answer


answer = asyncio.run(publish_async())
report("async", lambda: answer)
