"""Client libraries with the settings that docs/clients.md names for them, for tests.

argv: the library, and the address of the relay. Each connection and each message is printed as a line of JSON.
"""

import asyncio
import json
import sys
import time

import httpx

LIBRARY, RELAY = sys.argv[1:]
TOPIC = "news"
PAUSE_S = 0.3

positions = {}


def emit(**what):
    print(json.dumps(what), flush=True)


def register():
    answer = httpx.post(f"{RELAY}/register", json={"user_id": LIBRARY, "topics": [TOPIC]})
    return answer.raise_for_status().json()


def socket_address():
    return f"{register()['url']}?format=json&heartbeat=2"


def first_frame():
    emit(connected=True)
    return json.dumps({"topics": [TOPIC], "since": positions})


def on_frame(text):
    frame = json.loads(text)
    if "topics" in frame:
        for topic, at in frame["topics"].items():
            if not at.get("recovered"):
                positions[topic] = {"offset": at["offset"], "epoch": at["epoch"]}
    else:
        positions[frame["topic"]] = {"offset": frame["offset"], "epoch": frame["epoch"]}
        emit(data=frame["data"])


def again(connect):
    """Connects until the test ends: none of the failures that are listed is final."""
    while True:
        try:
            connect()
        except (OSError, httpx.HTTPError, *FAILURES):
            pass
        time.sleep(PAUSE_S)


def with_websockets():
    from websockets.sync.client import connect

    with connect(socket_address()) as socket:
        socket.send(first_frame())
        for text in socket:
            on_frame(text)


async def use_aiohttp():
    import aiohttp

    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(socket_address()) as socket:
            await socket.send_str(first_frame())
            async for message in socket:
                on_frame(message.data)


def with_aiohttp():
    asyncio.run(use_aiohttp())


def with_websocket_client():
    import websocket

    app = websocket.WebSocketApp(
        socket_address(),
        on_open=lambda socket: socket.send(first_frame()),
        on_message=lambda _, text: on_frame(text),
    )
    app.run_forever(suppress_origin=True)


stream = {"address": "", "last": ""}


def stream_request():
    """The address, and the header with the position of the last event."""
    if stream["address"] == "":
        stream["address"] = register()["sse"]
    headers = {"Accept": "text/event-stream"}
    if stream["last"]:
        headers["Last-Event-ID"] = stream["last"]
    return stream["address"], headers


def on_event(event):
    stream["last"] = event.id or stream["last"]
    if event.data:
        emit(data=event.data)


def with_httpx_sse():
    use_httpx_sse(httpx.Timeout(10, read=60), "")


def with_httpx_sse_as_it_is():
    use_httpx_sse(httpx.Timeout(5), "?heartbeat=4")


def use_httpx_sse(timeout, query):
    from httpx_sse import connect_sse

    address, headers = stream_request()
    with httpx.Client(timeout=timeout) as http:
        with connect_sse(http, "GET", address + query, headers=headers) as source:
            emit(connected=True)
            for event in source.iter_sse():
                on_event(event)


def with_sseclient_py():
    import requests
    import sseclient

    address, headers = stream_request()
    answer = requests.get(address, headers=headers, stream=True, timeout=(10, 60))
    answer.raise_for_status()
    emit(connected=True)
    for event in sseclient.SSEClient(answer).events():
        on_event(event)


def failures():
    import aiohttp
    import requests
    from websockets.exceptions import WebSocketException

    return aiohttp.ClientError, requests.RequestException, WebSocketException


FAILURES = failures()
again(globals()[f"with_{LIBRARY.replace('-', '_').replace(' ', '_')}"])
