#!/usr/bin/env bash
# grpclib 0.4.9 (PyPI, gRPC for asyncio), a client of grpcio 1.85.3's server with grpc.max_connection_age_ms; grpcio itself and @grpc/grpc-js 1.14.7 (npm) next to it.
# Guess: a server that recycles connections, to spread clients over its machines, says GOAWAY and lets what is under way end; the client opens another
# connection for what comes next, and no call notices (RFC 9113, section 6.8; the grace is 20 seconds here).
# Seen: grpclib takes GOAWAY for the end of the connection. A stream ends with StreamTerminatedError('Connection lost') at the age of the
# connection, and with it every call of that connection that waits for its answer, which the server goes on with: whoever repeats it does it twice.
# A proxy that recycles connections does so to each long stream, at its every hour or minute. Calls that come later find the new connection. The other two go on.
# Needs python3 with venv, Node, npm and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null || true; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @grpc/grpc-js@1.14.7 >/dev/null
python3 -m venv venv
venv/bin/pip install -q grpclib==0.4.9 grpcio==1.85.3
cat >server.py <<'PY'
import time
from concurrent import futures
import grpc

def follow(request, context):
    for number in range(1, 9):
        yield str(number).encode()
        time.sleep(0.3)

def order(request, context):
    time.sleep(2)
    with open("done", "a") as file:
        file.write(request.decode() + "\n")
    return b"done"

server = grpc.server(futures.ThreadPoolExecutor(20), options=[("grpc.max_connection_age_ms", 1000), ("grpc.max_connection_age_grace_ms", 20000)])
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("relay.Relay", {
    "Follow": grpc.unary_stream_rpc_method_handler(follow),
    "Order": grpc.unary_unary_rpc_method_handler(order),
}),))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
PY
cat >grpclib_client.py <<'PY'
import asyncio, sys
from grpclib.client import Channel
from grpclib.const import Cardinality
from grpclib.encoding.base import CodecBase

class Bytes(CodecBase):
    __content_subtype__ = "proto"
    def encode(self, message, message_type):
        return message
    def decode(self, data, message_type):
        return data

async def call(channel, method, cardinality):
    got = []
    try:
        async with channel.request(f"/relay.Relay/{method}", cardinality, bytes, bytes) as stream:
            await stream.send_message(b"grpclib", end=True)
            async for message in stream:
                got.append(message.decode())
    except Exception as error:
        got.append(type(error).__name__)
    print(f"grpclib, {method}: {'all' if got == list('12345678') else got[-1]}", flush=True)

async def main():
    channel = Channel("127.0.0.1", int(sys.argv[1]), codec=Bytes())
    await asyncio.gather(call(channel, "Follow", Cardinality.UNARY_STREAM), call(channel, "Order", Cardinality.UNARY_UNARY))
    channel.close()

asyncio.run(main())
PY
cat >grpcio_client.py <<'PY'
import sys
import grpc

channel = grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}")
order = channel.unary_unary("/relay.Relay/Order").future(b"grpcio")
got = [message.decode() for message in channel.unary_stream("/relay.Relay/Follow")(b"grpcio")]
print(f"grpcio, Follow: {'all' if got == list('12345678') else got}\ngrpcio, Order: {order.result().decode()}")
PY
cat >client.mjs <<'JS'
import grpc from "@grpc/grpc-js";

const client = new grpc.Client(`127.0.0.1:${process.argv[2]}`, grpc.credentials.createInsecure());
const same = (bytes) => bytes, request = Buffer.from("grpc-js");
const follow = new Promise((resolve) => {
  let got = "";
  client.makeServerStreamRequest("/relay.Relay/Follow", same, same, request)
    .on("data", (bytes) => (got += bytes)).on("end", () => resolve(got === "12345678" ? "all" : got)).on("error", (error) => resolve(error.message));
});
const order = new Promise((resolve) => client.makeUnaryRequest("/relay.Relay/Order", same, same, request, (error, bytes) => resolve(error?.message ?? String(bytes))));
console.log(`grpc-js, Follow: ${await follow}\ngrpc-js, Order: ${await order}`);
process.exit();
JS
venv/bin/python server.py >port 2>/dev/null & server=$!
until [ -s port ]; do sleep 0.1; done
{ venv/bin/python grpclib_client.py "$(<port)"; venv/bin/python grpcio_client.py "$(<port)"; node client.mjs "$(<port)"; } 2>/dev/null >seen
sort done | sed 's/^/the server has done the order of /' >>seen
LC_ALL=C sort -o seen seen
cat seen
cat >expected <<'TXT'
grpc-js, Follow: all
grpc-js, Order: done
grpcio, Follow: all
grpcio, Order: done
grpclib, Follow: StreamTerminatedError
grpclib, Order: StreamTerminatedError
the server has done the order of grpc-js
the server has done the order of grpcio
the server has done the order of grpclib
TXT
diff expected seen
