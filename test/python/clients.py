"""Clients of the official Centrifuge SDK: each line on standard output is what one of them got."""

import asyncio
import json
import sys

from centrifuge import (
    Client,
    PublicationContext,
    SubscribedContext,
    SubscriptionEventHandler,
)


def tell(**what) -> None:
    print(json.dumps(what), flush=True)


class Events(SubscriptionEventHandler):
    def __init__(self, number: int) -> None:
        self.number = number

    async def on_subscribed(self, ctx: SubscribedContext) -> None:
        lost = ctx.was_recovering and not ctx.recovered
        tell(client=self.number, subscribed=True, lost=lost)

    async def on_publication(self, ctx: PublicationContext) -> None:
        tell(client=self.number, data=ctx.pub.data)


async def main(url: str, topic: str, count: int) -> None:
    for number in range(count):
        client = Client(url, max_reconnect_delay=0.5)
        subscription = client.new_subscription(topic, events=Events(number))
        await client.connect()
        await subscription.subscribe()
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
