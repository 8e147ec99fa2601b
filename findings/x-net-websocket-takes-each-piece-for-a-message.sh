#!/usr/bin/env bash
# golang.org/x/net v0.55.0, its package websocket, and github.com/gobwas/ws v1.4.0; github.com/coder/websocket v1.8.15 and gorilla/websocket v1.5.3 next to them.
# Guess: a message that its sender, or a proxy on the way, has cut into several frames is one message (RFC 6455, section 5.4), and the program learns the
# code with which the server closes: 1012 for a restart, 4001 for a session that is over.
# Seen: x/net hands out each frame as a message of its own: three pieces of JSON that cannot be parsed, or, where the pieces are texts by themselves,
# three messages that nobody has sent, without an error. Servers that write as they produce do so, and so does any that cuts long messages. Every
# close is io.EOF to it, with or without a close frame, and it answers each with 1000, so nobody can tell a restart from a refusal or a cut. gobwas takes
# 1012 for an error in the protocol, and says so in a frame without a mask, which a server must take for another (section 5.1). The other two are right.
# Needs Go, Node, npm and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null || true; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ws@8.23.0 >/dev/null
cat >server.mjs <<'JS'
import { appendFileSync } from "node:fs";
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket, request) => {
  const [, library, code] = request.url.split("/");
  socket.send('{"news":', { fin: false });
  socket.send('"one"', { fin: false });
  socket.send("}", { fin: true });
  socket.send('{"news":"two"}');
  if (code === "cut") setTimeout(() => socket.terminate(), 300);
  else socket.close(Number(code));
  socket.on("error", ({ message }) => appendFileSync("seen", `${library}, ${code}: the server says "${message}"\n`));
  socket.on("close", (answer) => code !== "cut" && appendFileSync("seen", `${library}, ${code}: the server gets ${answer}\n`));
});
JS
cat >go.mod <<'TXT'
module probe

go 1.25

require (
	github.com/coder/websocket v1.8.15
	github.com/gobwas/ws v1.4.0
	github.com/gorilla/websocket v1.5.3
	golang.org/x/net v0.55.0
)
TXT
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	coder "github.com/coder/websocket"
	gobwas "github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	gorilla "github.com/gorilla/websocket"
	xnet "golang.org/x/net/websocket"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	ctx := context.Background()
	for _, code := range []string{"1012", "4001", "cut"} {
		for _, library := range []string{"xnet", "gobwas", "coder", "gorilla"} {
			url := fmt.Sprintf("ws://127.0.0.1:%s/%s/%s", os.Args[1], library, code)
			var read func() (string, error)
			switch library {
			case "xnet":
				socket := must(xnet.Dial(url, "", "http://localhost/"))
				defer socket.Close()
				read = func() (text string, err error) {
					if err = xnet.Message.Receive(socket, &text); err != nil {
						socket.Close()
					}
					return
				}
			case "gobwas":
				socket, early, _, err := gobwas.Dial(ctx, url)
				must(socket, err)
				// What came with the handshake is in the reader.
				stream := io.ReadWriter(socket)
				if early != nil {
					stream = struct {
						io.Reader
						io.Writer
					}{early, socket}
				}
				read = func() (string, error) {
					data, _, err := wsutil.ReadServerData(stream)
					if err != nil {
						socket.Close()
					}
					return string(data), err
				}
			case "coder":
				socket, _, err := coder.Dial(ctx, url, nil)
				must(socket, err)
				read = func() (string, error) {
					_, data, err := socket.Read(ctx)
					return string(data), err
				}
			case "gorilla":
				socket, _, err := gorilla.DefaultDialer.Dial(url, nil)
				must(socket, err)
				read = func() (string, error) {
					_, data, err := socket.ReadMessage()
					if err != nil {
						socket.Close()
					}
					return string(data), err
				}
			}
			text, err := read()
			for ; err == nil; text, err = read() {
				if code == "1012" {
					fmt.Printf("%s: message %s\n", library, text)
				}
			}
			fmt.Printf("%s, %s: %s\n", library, code, strings.TrimSpace(err.Error()))
		}
	}
}
GO
go mod tidy 2>/dev/null
go build -o probe .
node server.mjs >port & server=$!
until [ -s port ]; do sleep 0.1; done
./probe "$(<port)" >>seen
sleep 0.5
LC_ALL=C sort seen
cat >expected <<'TXT'
coder, 1012: failed to get reader: received close frame: status = StatusServiceRestart and reason = ""
coder, 1012: the server gets 1012
coder, 4001: failed to get reader: received close frame: status = StatusCode(4001) and reason = ""
coder, 4001: the server gets 4001
coder, cut: failed to get reader: failed to read frame header: EOF
coder: message {"news":"one"}
coder: message {"news":"two"}
gobwas, 1012: status code is not defined in spec
gobwas, 1012: the server gets 1006
gobwas, 1012: the server says "Invalid WebSocket frame: MASK must be set"
gobwas, 4001: the server gets 4001
gobwas, 4001: ws closed: 4001
gobwas, cut: EOF
gobwas: message {"news":"one"}
gobwas: message {"news":"two"}
gorilla, 1012: the server gets 1012
gorilla, 1012: websocket: close 1012
gorilla, 4001: the server gets 4001
gorilla, 4001: websocket: close 4001
gorilla, cut: websocket: close 1006 (abnormal closure): unexpected EOF
gorilla: message {"news":"one"}
gorilla: message {"news":"two"}
xnet, 1012: EOF
xnet, 1012: the server gets 1000
xnet, 4001: EOF
xnet, 4001: the server gets 1000
xnet, cut: EOF
xnet: message "one"
xnet: message {"news":"two"}
xnet: message {"news":
xnet: message }
TXT
diff <(LC_ALL=C sort expected) <(LC_ALL=C sort seen)
