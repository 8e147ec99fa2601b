#!/usr/bin/env bash
# Tornado 6.6.1 (PyPI), permessage-deflate (RFC 7692) switched on as documented: its client at Bun 1.4.4 (Bun.serve, perMessageDeflate: true), and its server with clients made
# with github.com/coder/websocket v1.8.15 (CompressionNoContextTakeover) and gorilla/websocket v1.5.3 (EnableCompression); websockets 17.4 and undici 7.30.2 next to it.
# Guess: two sides that agree on compression understand each other. What a server answers binds its client: "client_no_context_takeover" means that no message may refer to an
# earlier one (section 7.1.1.2), which servers ask for that keep no memory for each client, as Bun does. A server that cannot do what is asked declines.
# Seen: Tornado drops each parameter that has no value, in what it is offered and in what it is answered. Its client goes on to refer to earlier messages, so Bun closes at the
# second message, with 1007, and reconnecting does not help. Its server answers an offer with "server_no_context_takeover" as if it were not there: gorilla refuses the handshake,
# and coder's client fails at the second message. With one message, or without compression on one side, all works, as in a first try. The other two talk to Bun.
# Needs python3 with venv, Node, npm, Go and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; bun=; tornado=
trap 'kill $bun $tornado 2>/dev/null; rm -rf "$dir"' EXIT
python3 -m venv venv
venv/bin/pip install -q tornado==6.6.1 websockets==17.4
npm init -y >/dev/null
npm install --silent --no-audit --no-fund bun@1.4.4 undici@7.30.2 >/dev/null
go mod init client >/dev/null 2>&1
go get github.com/gorilla/websocket@v1.5.3 github.com/coder/websocket@v1.8.15 >/dev/null 2>&1
cat >bun.mjs <<'JS'
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: (request, server) => (server.upgrade(request) ? undefined : new Response()),
  websocket: { perMessageDeflate: true, message: (socket, text) => void socket.send(text) },
});
console.log(server.port);
JS
cat >tornado_server.py <<'PY'
import asyncio
import tornado.httpserver
import tornado.netutil
import tornado.web
import tornado.websocket

class Echo(tornado.websocket.WebSocketHandler):
    def get_compression_options(self):
        return {}

    def on_message(self, message):
        self.write_message(message)

async def main():
    [listener] = tornado.netutil.bind_sockets(0, "127.0.0.1")
    tornado.httpserver.HTTPServer(tornado.web.Application([("/", Echo)])).add_socket(listener)
    print(listener.getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
PY
cat >client.py <<'PY'
import asyncio
import sys
import tornado.websocket
import websockets

TEXT = '{"number": %d, "text": "the same words again and again, the same words again and again"}'

async def with_tornado(url):
    socket = await tornado.websocket.websocket_connect(url, compression_options={})
    for number in range(3):
        await socket.write_message(TEXT % number)
        if await socket.read_message() != TEXT % number:
            return f"{number} came back, then {socket.close_code}"
    return "3 came back"

async def with_websockets(url):
    async with websockets.connect(url, compression="deflate") as socket:
        for number in range(3):
            await socket.send(TEXT % number)
            assert await socket.recv() == TEXT % number
        return "3 came back"

async def main():
    print("tornado's client, bun:", await with_tornado(sys.argv[1]))
    print("websockets, bun:", await with_websockets(sys.argv[1]))
    print("tornado's client, tornado:", await with_tornado(sys.argv[2]))

asyncio.run(asyncio.wait_for(main(), 20))
PY
cat >client.mjs <<'JS'
import { WebSocket } from "undici";

const text = (number) => JSON.stringify({ number, text: "the same words again and again, the same words again and again" });
const socket = new WebSocket(process.argv[2]);
let number = 0;
socket.onopen = () => socket.send(text(0));
socket.onmessage = ({ data }) => {
  if (data !== text(number)) throw new Error(data);
  if (++number < 3) return socket.send(text(number));
  console.log("undici, bun: 3 came back");
  socket.close();
};
JS
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

func text(number int) string {
	return fmt.Sprintf(`{"number": %d, "text": "the same words again and again, the same words again and again"}`, number)
}

func withCoder(url string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	socket, _, err := coder.Dial(ctx, url, &coder.DialOptions{CompressionMode: coder.CompressionNoContextTakeover, CompressionThreshold: 1})
	if err != nil {
		return err.Error()
	}
	for number := 0; number < 3; number++ {
		socket.Write(ctx, coder.MessageText, []byte(text(number)))
		if _, got, err := socket.Read(ctx); err != nil || string(got) != text(number) {
			return fmt.Sprintf("%d came back, then corrupt input: %v", number, err != nil && strings.Contains(err.Error(), "corrupt input"))
		}
	}
	return "3 came back"
}

func withGorilla(url string) string {
	dialer := gorilla.Dialer{EnableCompression: true}
	socket, _, err := dialer.Dial(url, nil)
	if err != nil {
		return err.Error()
	}
	for number := 0; number < 3; number++ {
		socket.WriteMessage(gorilla.TextMessage, []byte(text(number)))
		if _, got, err := socket.ReadMessage(); err != nil || string(got) != text(number) {
			return fmt.Sprintf("%d came back, then %v", number, err)
		}
	}
	return "3 came back"
}

func main() {
	for index, name := range []string{"bun", "tornado"} {
		url := os.Args[1+index]
		fmt.Printf("coder, %s: %s\n", name, withCoder(url))
		fmt.Printf("gorilla, %s: %s\n", name, withGorilla(url))
	}
}
GO
node_modules/.bin/bun bun.mjs >bun.port & bun=$!
venv/bin/python tornado_server.py >tornado.port 2>/dev/null & tornado=$!
until [ -s bun.port ] && [ -s tornado.port ]; do sleep 0.1; done
urls=("ws://127.0.0.1:$(cat bun.port)/" "ws://127.0.0.1:$(cat tornado.port)/")
{ venv/bin/python client.py "${urls[@]}"; node client.mjs "${urls[0]}"; go run . "${urls[@]}"; } 2>/dev/null | tee seen
cat >expected <<'TXT'
tornado's client, bun: 1 came back, then 1007
websockets, bun: 3 came back
tornado's client, tornado: 3 came back
undici, bun: 3 came back
coder, bun: 3 came back
gorilla, bun: 3 came back
coder, tornado: 1 came back, then corrupt input: true
gorilla, tornado: websocket: invalid compression negotiation
TXT
diff expected seen
