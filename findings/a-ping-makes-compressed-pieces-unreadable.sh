#!/usr/bin/env bash
# Tornado 6.6.1 (PyPI) and Java-WebSocket 1.6.0 (Maven), their WebSocket clients with permessage-deflate (RFC 7692) switched on; websockets 17.4, aiohttp 3.14.5 (PyPI)
# and Bun 1.4.4 next to them. The server is npm's ws 8.23.0, which sends a message in two pieces, compressed, with and without a ping in between.
# Guess: a ping may come between the pieces of a message (RFC 6455, section 5.4), is answered, and changes nothing for the message. Whether that is compressed says the first of its frames.
# Seen: both clients remember "compressed" for the frame that they read last, and the ping is not. The message comes out as the compressed bytes, without an error, where it is
# binary; a text is no UTF-8 then, and the connection ends. Servers that send a long message in pieces and ping by a clock do this now and then: it fails on a busy
# connection, never in a test. Without compression, or in one piece, the ping does no harm. The other three read all of it.
# Needs python3 with venv, Java 17, Maven, Node, npm and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
python3 -m venv venv
venv/bin/pip install -q tornado==6.6.1 websockets==17.4 aiohttp==3.14.5
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ws@8.23.0 bun@1.4.4 >/dev/null
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>a</groupId><artifactId>a</artifactId><version>1</version><dependencies>
<dependency><groupId>org.java-websocket</groupId><artifactId>Java-WebSocket</artifactId><version>1.6.0</version></dependency></dependencies></project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1
cat >server.mjs <<'JS'
import { WebSocketServer } from "ws";

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: { threshold: 0 } });
server.on("listening", () => console.log(server.address().port));
server.on("connection", async (socket) => {
  if (!socket.extensions) throw new Error("The client has no compression.");
  const half = Buffer.alloc(50, "half ");
  for (const ping of ["without", "with"]) {
    await pause(200);
    socket.send(half, { fin: false, binary: true });
    if (ping === "with") socket.ping();
    socket.send(half, { fin: true, binary: true });
  }
  await pause(500);
  socket.close(1000);
});
JS
cat >client.py <<'PY'
import asyncio
import sys
import aiohttp
import tornado.websocket
import websockets

def say(name, messages):
    words = ["as it was sent" if bytes(message) == b"half " * 20 else "other bytes" for message in messages]
    print(f"{name}: without a ping {words[0]}, with a ping {words[1] if len(words) > 1 else 'nothing'}", flush=True)

async def with_tornado(url):
    socket, messages = await tornado.websocket.websocket_connect(url, compression_options={}), []
    while (message := await socket.read_message()) is not None:
        messages.append(message)
    say("tornado", messages)

async def with_websockets(url):
    async with websockets.connect(url, compression="deflate") as socket:
        say("websockets", [message async for message in socket])

async def with_aiohttp(url):
    async with aiohttp.ClientSession() as session, session.ws_connect(url, compress=15) as socket:
        say("aiohttp", [message.data async for message in socket])

for client in [with_tornado, with_websockets, with_aiohttp]:
    asyncio.run(asyncio.wait_for(client(sys.argv[1]), 10))
PY
cat >Client.java <<'JAVA'
import java.net.URI;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.java_websocket.client.WebSocketClient;
import org.java_websocket.drafts.Draft_6455;
import org.java_websocket.extensions.permessage_deflate.PerMessageDeflateExtension;
import org.java_websocket.handshake.ServerHandshake;

public class Client {
    public static void main(String[] args) throws Exception {
        List<String> words = new ArrayList<>();
        CountDownLatch closed = new CountDownLatch(1);
        new WebSocketClient(URI.create(args[0]), new Draft_6455(new PerMessageDeflateExtension())) {
            public void onOpen(ServerHandshake handshake) {}
            public void onMessage(String text) {}
            public void onMessage(ByteBuffer bytes) {
                String text = new String(bytes.array(), java.nio.charset.StandardCharsets.ISO_8859_1);
                words.add(text.equals("half ".repeat(20)) ? "as it was sent" : "other bytes");
            }
            public void onClose(int code, String reason, boolean remote) { closed.countDown(); }
            public void onError(Exception error) { words.add(error.getMessage()); }
        }.connect();
        closed.await(10, TimeUnit.SECONDS);
        System.out.println("Java-WebSocket: without a ping " + words.get(0) + ", with a ping " + (words.size() > 1 ? words.get(1) : "nothing"));
        System.exit(0);
    }
}
JAVA
cat >client.mjs <<'JS'
const words = [];
const socket = new WebSocket(process.argv[2]);
socket.binaryType = "arraybuffer";
socket.onmessage = ({ data }) => words.push(Buffer.from(data).toString() === "half ".repeat(20) ? "as it was sent" : "other bytes");
socket.onclose = () => console.log(`bun: without a ping ${words[0]}, with a ping ${words[1]}`);
JS
node server.mjs >port & server=$!
until [ -s port ]; do sleep 0.1; done
javac -cp "lib/*" Client.java
url="ws://127.0.0.1:$(cat port)/"
{ venv/bin/python client.py "$url"; java -cp ".:lib/*" Client "$url"; node_modules/.bin/bun client.mjs "$url"; } 2>err | tee seen
cat >expected <<'TXT'
tornado: without a ping as it was sent, with a ping other bytes
websockets: without a ping as it was sent, with a ping as it was sent
aiohttp: without a ping as it was sent, with a ping as it was sent
Java-WebSocket: without a ping as it was sent, with a ping other bytes
bun: without a ping as it was sent, with a ping as it was sent
TXT
diff expected seen
