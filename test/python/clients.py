"""Clients of the official Python SDK, for tests. Each event is printed as a line of JSON; each line of JSON on the
input is a call, which is answered by a line. The program ends with its input.

argv[1]: {"address": "ws://…/connection/websocket", "clients": [{"token": "…", "fresh": "…", "topicTokens": {"…": ["…", …]}},
…], "topics": ["…", …], "form": "json" or "protobuf", "delta": true or false}. "fresh" is the token that a client gets when it
asks for a new one, "topicTokens" has the tokens for a topic, in the order in which it gets them.
"""

import asyncio
import json
import sys

from centrifuge import (
    CentrifugeError,
    Client,
    ClientEventHandler,
    DeltaType,
    StreamPosition,
    SubscriptionEventHandler,
)


def emit(number, event, **fields):
    print(json.dumps({"client": number, "event": event, **fields}), flush=True)


def value_of(payload):
    """The value of a payload: in protobuf the SDK hands on bytes, which have JSON in them."""
    if not isinstance(payload, bytes):
        return payload
    return json.loads(payload) if payload else None


def info_of(info):
    if info is None:
        return None
    of_topic = value_of(info.chan_info)
    return {"user": info.user, "client": info.client, "info": value_of(info.conn_info), "topicInfo": of_topic}


class EventPrinter(ClientEventHandler, SubscriptionEventHandler):
    """Prints the events of a client, or of one of its subscriptions when it is made with a topic."""

    def __init__(self, number, topic=None):
        self.number = number
        self.topic = topic

    async def on_connecting(self, ctx):
        emit(self.number, "connecting", code=ctx.code)

    async def on_connected(self, ctx):
        emit(self.number, "connected", id=ctx.client)

    async def on_disconnected(self, ctx):
        emit(self.number, "disconnected", code=ctx.code, reason=ctx.reason)

    async def on_subscribed(self, ctx):
        topic = self.topic or ctx.channel
        emit(self.number, "subscribed", topic=topic, wasRecovering=ctx.was_recovering, recovered=ctx.recovered)

    async def on_unsubscribed(self, ctx):
        emit(self.number, "unsubscribed", topic=self.topic or ctx.channel, code=getattr(ctx, "code", 0))

    async def on_publication(self, ctx):
        pub = ctx.pub
        info = info_of(pub.info)
        topic = self.topic or ctx.channel
        emit(self.number, "publication", topic=topic, data=value_of(pub.data), offset=pub.offset, info=info, tags=pub.tags)

    async def on_join(self, ctx):
        emit(self.number, "join", topic=self.topic or ctx.channel, info=info_of(ctx.info))

    async def on_leave(self, ctx):
        emit(self.number, "leave", topic=self.topic or ctx.channel, info=info_of(ctx.info))


def topic_tokens(number, tokens):
    """Hands out these tokens for a topic one by one, and the last one from then on."""
    left = list(tokens)

    async def get_token(topic):
        emit(number, "topic_token_requested", topic=topic)
        return left.pop(0) if len(left) > 1 else left[0]

    return get_token


def new_client(number, address, form, token="", fresh="", topicTokens=None):
    async def get_token():
        emit(number, "token_requested")
        return fresh

    return Client(
        address,
        events=EventPrinter(number),
        token=token,
        get_token=get_token if fresh else None,
        min_reconnect_delay=0.01,
        max_reconnect_delay=0.05,
        proxy=None,
        use_protobuf=form == "protobuf",
    )


async def answer(client, form, call, topic="", data=None, limit=0, since=None, reverse=False):
    payload = data if form == "json" else json.dumps(data).encode()
    if call == "publish":
        await client.publish(topic, payload)
        return {}
    if call == "history":
        position = since and StreamPosition(offset=since["offset"], epoch=since["epoch"])
        page = await client.history(topic, limit=limit, since=position, reverse=reverse)
        return {"offset": page.offset, "epoch": page.epoch, "data": [value_of(pub.data) for pub in page.publications]}
    if call == "presence":
        return [info_of(info) for info in (await client.presence(topic)).clients.values()]
    if call == "presence_stats":
        stats = await client.presence_stats(topic)
        return {"clients": stats.num_clients, "users": stats.num_users}
    if call == "rpc":
        return value_of((await client.rpc(topic, payload)).data)
    if call == "subscribe":
        return await client.get_subscription(topic).subscribe()
    if call == "unsubscribe":
        return await client.get_subscription(topic).unsubscribe()
    if call == "disconnect":
        return await client.disconnect()
    raise ValueError(call)


async def main():
    given = json.loads(sys.argv[1])
    clients = [new_client(i, given["address"], given["form"], **client) for i, client in enumerate(given["clients"])]
    for number, client in enumerate(clients):
        for topic in given["topics"]:
            tokens = given["clients"][number].get("topicTokens", {}).get(topic)
            subscription = client.new_subscription(
                topic,
                delta=DeltaType.FOSSIL if given["delta"] else None,
                get_token=topic_tokens(number, tokens) if tokens else None,
                events=EventPrinter(number, topic),
                recoverable=True,
                join_leave=True,
                min_resubscribe_delay=0.01,
                max_resubscribe_delay=0.05,
            )
            await subscription.subscribe()
        await client.connect()
    calls = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(calls), sys.stdin)
    async for line in calls:
        call = json.loads(line)
        number = call.pop("client")
        try:
            emit(number, "answer", value=await answer(clients[number], given["form"], **call))
        except CentrifugeError as error:
            emit(number, "answer", code=getattr(error, "code", None), message=getattr(error, "message", None))
    for client in clients:
        await client.disconnect()


asyncio.run(main())
