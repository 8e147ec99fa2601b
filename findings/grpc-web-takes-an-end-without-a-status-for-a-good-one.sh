#!/usr/bin/env bash
# grpc-web 2.1.1 (npm, Google's client for browsers) in Debian's Chromium, nice-grpc-web 3.3.11 (npm) next to it.
# Guess: each gRPC call ends with a status, for browsers in a last frame. An answer that ends without one was cut short on its way: the server died
# behind a proxy that ended the answer in an orderly way. That is an error in every client, UNKNOWN or INTERNAL, however much of it had arrived.
# Seen: to grpc-web it is a good end. A stream of two messages out of many calls "end" and not "error", and a call for one message returns it, without an error. The one
# sign is that "status" was never called, which programs use for metadata, if at all. So a page takes half a list for the whole list, and a stream of events that a
# deploy has cut for one that is done, and does not come back. (A connection that breaks off is an error.) In a program, look for "status" before "end";
# whoever relays such answers has to reset the stream when the server fails, not to end it. nice-grpc-web reports an error.
# Needs Chromium, Node, npm and the registry. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=; browser=
trap 'kill $browser $server 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund grpc-web@2.1.1 nice-grpc-web@3.3.11 esbuild@0.25.0 >/dev/null
# A server of the page and of gRPC-Web. "List" is two messages, "Get" is one. What is asked for at /whole has a status at its end, what is asked for at /cut has not.
cat >server.mjs <<'JS'
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
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
page.listen(0, "127.0.0.1", () => console.error(page.address().port));
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
npx esbuild page.mjs --bundle --format=esm --log-level=error --outfile=page.js
node server.mjs >report 2>port & server=$!
until [ -s port ]; do sleep 0.1; done
timeout 90 chromium --headless=new --no-sandbox --disable-gpu --user-data-dir="$dir/profile" --remote-debugging-port=0 "http://127.0.0.1:$(<port)/" >/dev/null 2>&1 & browser=$!
for _ in {1..900}; do [ -s report ] && break; sleep 0.1; done
cat report
cat >expected <<'TXT'
grpc-web, whole: stream one two, end
grpc-web, whole: call one
nice-grpc-web, whole: stream one two, end
grpc-web, cut: stream one two, end
grpc-web, cut: call one
nice-grpc-web, cut: stream one two, error
TXT
diff expected report
