#!/usr/bin/env bash
# grpc-web 2.1.1 (npm, Google's client for browsers) in Debian's Chromium, nice-grpc-web 3.3.11 (npm) next to it; grpclib 0.4.9 (PyPI), gRPC over HTTP/2, with grpcio 1.85.3 next to it.
# Guess: each gRPC call ends with a status, in the trailers or, for browsers, in a last frame. An answer that ends without one was cut short on its way: the server died
# behind a proxy that ended the answer in an orderly way. That is an error in every client, UNKNOWN or INTERNAL, however much of it had arrived.
# Seen: to grpc-web it is a good end. A stream of two messages out of many calls "end" and not "error", and a call for one message returns it, without an error. The one
# sign is that "status" was never called, which programs use for metadata, if at all. So a page takes half a list for the whole list, and a stream of events that a
# deploy has cut for one that is done, and does not come back. (A connection that breaks off is an error.) grpclib waits for the trailers for ever, in streams and in calls, with
# nothing to read and no error, until the program's own timeout. In a program, look for "status" before "end" with grpc-web, and give each call of grpclib a
# timeout; whoever relays such answers has to reset the stream when the server fails, not to end it. The other two report an error.
# Needs Chromium, Node, npm, python3 with venv and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=; browser=
trap 'kill $browser $server 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund grpc-web@2.1.1 nice-grpc-web@3.3.11 esbuild@0.25.0 >/dev/null
python3 -m venv venv
venv/bin/pip install -q grpclib==0.4.9 grpcio==1.85.3 protobuf
# A server of the page, of gRPC-Web and, on another port, of gRPC. "List" is two messages, "Get" is one. What is asked for at /whole has a status at its end, what is asked for at /cut has not.
cat >server.mjs <<'JS'
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { text } from "node:stream/consumers";

const frame = (type, body) => {
  const head = Buffer.alloc(5);
  head[0] = type;
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
};
const message = (word) => frame(0, Buffer.from([10, word.length, ...Buffer.from(word)]));
const messages = (path) => Buffer.concat(path.endsWith("List") ? [message("one"), message("two")] : [message("one")]);
const page = createServer(async (request, response) => {
  if (request.method === "GET") {
    const script = request.url === "/page.js";
    return response.writeHead(200, { "content-type": script ? "text/javascript" : "text/html" })
      .end(script ? readFileSync("page.js") : '<!doctype html><script type="module" src="/page.js"></script>');
  }
  const body = await text(request);
  if (request.url === "/report") return response.end(void console.log(body));
  const encoded = request.headers["content-type"].includes("text");
  const encode = (bytes) => (encoded ? bytes.toString("base64") : bytes);
  response.writeHead(200, { "content-type": request.headers["content-type"] });
  response.write(encode(messages(request.url)));
  setTimeout(() => response.end(request.url.startsWith("/whole") ? encode(frame(0x80, Buffer.from("grpc-status: 0\r\n"))) : ""), 300);
});
const grpc = createHttp2Server();
grpc.on("stream", (stream, headers) => {
  const whole = headers[":path"].startsWith("/whole");
  stream.on("error", () => {}).resume();
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: whole });
  if (whole) stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.write(messages(headers[":path"]));
  setTimeout(() => stream.end(), 300);
});
page.listen(0, "127.0.0.1", () => grpc.listen(0, "127.0.0.1", () => console.error(page.address().port, grpc.address().port)));
JS
cat >page.mjs <<'JS'
import { GrpcWebClientBase, MethodDescriptor, MethodType } from "grpc-web";
import { createChannel, createClient, FetchTransport } from "nice-grpc-web";

const read = (bytes) => new TextDecoder().decode(bytes.slice(2));
const seen = [];
for (const end of ["whole", "cut"]) {
  const client = new GrpcWebClientBase({ format: "text" });
  const method = (name, type) => new MethodDescriptor(`/${end}/${name}`, type, Object, Object, () => new Uint8Array(), read);
  await new Promise((done) => {
    const got = [];
    const stream = client.serverStreaming(`${location.origin}/${end}/List`, {}, {}, method("List", MethodType.SERVER_STREAMING));
    stream.on("data", (word) => got.push(word));
    stream.on("end", () => done(seen.push(`grpc-web, ${end}: stream ${got.join(" ")}, end`)));
    stream.on("error", () => done(seen.push(`grpc-web, ${end}: stream ${got.join(" ")}, error`)));
  });
  await new Promise((done) => {
    client.rpcCall(`${location.origin}/${end}/Get`, {}, {}, method("Get", MethodType.UNARY), (error, word) => done(seen.push(`grpc-web, ${end}: call ${error ? "error" : word}`)));
  });
  const type = { encode: () => ({ finish: () => new Uint8Array() }), decode: (bytes) => ({ word: read(bytes) }), fromPartial: (value) => value };
  const methods = { list: { name: "List", requestType: type, requestStream: false, responseType: type, responseStream: true, options: {} } };
  const got = [];
  try {
    for await (const { word } of createClient({ name: end, fullName: end, methods }, createChannel(location.origin, FetchTransport())).list({})) got.push(word);
    seen.push(`nice-grpc-web, ${end}: stream ${got.join(" ")}, end`);
  } catch {
    seen.push(`nice-grpc-web, ${end}: stream ${got.join(" ")}, error`);
  }
}
await fetch("/report", { method: "POST", body: seen.join("\n") });
JS
cat >probe.py <<'PY'
import asyncio, sys
import grpc
from google.protobuf.wrappers_pb2 import StringValue
from grpclib.client import Channel, UnaryStreamMethod, UnaryUnaryMethod

async def grpclib(port, end):
    channel = Channel("127.0.0.1", port)
    for name, kind in (("List", UnaryStreamMethod), ("Get", UnaryUnaryMethod)):
        method = kind(channel, f"/{end}/{name}", StringValue, StringValue)
        try:
            await asyncio.wait_for(method(StringValue()), 15)
            print(f"grpclib, {end}: {name} returns")
        except asyncio.TimeoutError:
            print(f"grpclib, {end}: {name} still waits after 15 s")
        except Exception:
            print(f"grpclib, {end}: {name} error")
    channel.close()

def grpcio(port, end):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = channel.unary_stream(f"/{end}/List", StringValue.SerializeToString, StringValue.FromString)
        try:
            list(method(StringValue()))
            print(f"grpcio, {end}: List returns")
        except grpc.RpcError:
            print(f"grpcio, {end}: List error")

for end in ("whole", "cut"):
    asyncio.run(grpclib(int(sys.argv[1]), end))
    grpcio(int(sys.argv[1]), end)
PY
npx esbuild page.mjs --bundle --format=esm --log-level=error --outfile=page.js
node server.mjs >report 2>ports & server=$!
until [ -s ports ]; do sleep 0.1; done
read -r page grpc <ports
timeout 90 chromium --headless=new --no-sandbox --disable-gpu --user-data-dir="$dir/profile" --remote-debugging-port=0 "http://127.0.0.1:$page/" >/dev/null 2>&1 & browser=$!
for _ in {1..900}; do [ -s report ] && break; sleep 0.1; done
{ cat report; venv/bin/python probe.py "$grpc" 2>/dev/null; } | tee seen
cat >expected <<'TXT'
grpc-web, whole: stream one two, end
grpc-web, whole: call one
nice-grpc-web, whole: stream one two, end
grpc-web, cut: stream one two, end
grpc-web, cut: call one
nice-grpc-web, cut: stream one two, error
grpclib, whole: List returns
grpclib, whole: Get returns
grpcio, whole: List returns
grpclib, cut: List still waits after 15 s
grpclib, cut: Get still waits after 15 s
grpcio, cut: List error
TXT
diff expected seen
