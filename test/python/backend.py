"""Every method of cent, as its users call them. Prints a line of JSON for each: its name and what came of it.

argv[1]: the address of the API; argv[2]: its key.
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


def tell(name, call):
    try:
        outcome = call().model_dump(exclude_none=True, serialize_as_any=True)
    except CentApiResponseError as error:
        outcome = error.code
    except CentUnauthorizedError:
        outcome = "unauthorized"
    print(json.dumps([name, outcome]), flush=True)


publish = PublishRequest(channel="room", data={"n": 1.0}, tags={"a": "b"}, idempotency_key="once")
tell("publish", lambda: client.publish(publish))
tell("publish again", lambda: client.publish(publish))
tell("publish nothing", lambda: client.publish(PublishRequest(channel="", data=1)))
tell("broadcast", lambda: client.broadcast(BroadcastRequest(channels=["room", "brief:a", ""], data=2)))
tell("history", lambda: client.history(HistoryRequest(channel="room", limit=10)))
since = StreamPosition(offset=1, epoch="another")
tell("history of an epoch", lambda: client.history(HistoryRequest(channel="room", limit=1, since=since)))
tell("history of none", lambda: client.history(HistoryRequest(channel="brief:a", limit=1)))
tell("presence", lambda: client.presence(PresenceRequest(channel="room")))
tell("presence_stats", lambda: client.presence_stats(PresenceStatsRequest(channel="room")))
tell("channels", lambda: client.channels(ChannelsRequest(pattern="r*")))
tell("info", lambda: client.info(InfoRequest()))
gift = SubscribeRequest(user="42", channel="gift", info={"a": 1}, data={"b": 2})
tell("subscribe", lambda: client.subscribe(gift))
tell("unsubscribe", lambda: client.unsubscribe(UnsubscribeRequest(user="42", channel="gift")))
tell("refresh", lambda: client.refresh(RefreshRequest(user="42", expire_at=2_000_000_000)))
batch = BatchRequest(requests=[publish, PresenceStatsRequest(channel="room")], parallel=True)
tell("batch", lambda: client.batch(batch))
tell("history_remove", lambda: client.history_remove(HistoryRemoveRequest(channel="room")))
ending = DisconnectRequest(user="42", disconnect=Disconnect(), whitelist=["nobody"])
tell("disconnect", lambda: client.disconnect(ending))
tell("with a wrong key", lambda: Client(URL, "wrong").info(InfoRequest()))


async def at_once():
    other = AsyncClient(URL, KEY)
    answer = await other.publish(PublishRequest(channel="room", data="async"))
    await other.close()
    return answer


answer = asyncio.run(at_once())
tell("async", lambda: answer)
