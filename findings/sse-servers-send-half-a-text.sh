#!/usr/bin/env bash
# Elysia 1.4.30 (npm, under Bun 1.4.4), Falcon 4.4.0 and BlackSheep 2.6.4 (PyPI), Gin 1.12.0 and github.com/tmaxmax/go-sse 0.12.0 (Go), each with its own
# helper for Server-Sent Events; Hono 4.13.19 (npm) and sse-starlette 3.7.0 (PyPI) next to them. The reader is npm's eventsource-parser 3.1.1.
# Guess: a text that is handed to such a helper arrives as it was: a helper writes one "data:" line for each line, and a space behind the colon, since
# the reader takes one away (WHATWG HTML, section 9.2.6). Only CR LF has to become a line feed. A text of no characters is an event as well.
# Seen: Elysia and Falcon write the text as it is, so only its first line arrives and the rest is taken for unknown fields, without an error. Gin writes no space, so a
# word that begins with one loses it (pieces of a language model's answer do, and come out run together), and sends a CR as backslash and "r". BlackSheep
# sends each line end as backslash and "n", and for an empty text no event. go-sse sends an empty text as no event, and loses a line feed at the end.
# JSON has neither line ends nor spaces at its beginning, so a program that sends JSON sees none of this. Hono and sse-starlette are right.
# Needs Node, npm, Go, python3 with venv and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund elysia@1.4.30 hono@4.13.19 @hono/node-server@2.1.9 bun@1.4.4 eventsource-parser@3.1.1 >/dev/null
python3 -m venv venv
venv/bin/pip install -q falcon==4.4.0 blacksheep==2.6.4 sse-starlette==3.7.0 starlette==1.10.0 uvicorn==0.54.0
cat >texts.json <<'JSON'
["one\ntwo", " word", "", "one\r\ntwo", "line\n", "end"]
JSON
cat >server.mjs <<'JS'
import { readFileSync } from "node:fs";
const [, , library, port] = process.argv;
const texts = JSON.parse(readFileSync("texts.json", "utf8"));
if (library === "Elysia") {
  const { Elysia, sse } = await import("elysia");
  new Elysia().get("/", async function* () { for (const data of texts) yield sse({ data }); }).listen({ port: Number(port), hostname: "127.0.0.1" });
} else {
  const { Hono } = await import("hono");
  const { streamSSE } = await import("hono/streaming");
  const { serve } = await import("@hono/node-server");
  const app = new Hono().get("/", (context) => streamSSE(context, async (stream) => { for (const data of texts) await stream.writeSSE({ data }); }));
  serve({ fetch: app.fetch, port: Number(port), hostname: "127.0.0.1" });
}
JS
cat >server.py <<'PY'
import json, sys
from collections.abc import AsyncIterable
import uvicorn

library, port = sys.argv[1], int(sys.argv[2])
texts = json.load(open("texts.json"))

async def events(make):
    for text in texts:
        yield make(text)

if library == "Falcon":
    import falcon.asgi

    class Stream:
        async def on_get(self, request, response):
            response.sse = events(lambda text: falcon.asgi.SSEvent(text=text))

    app = falcon.asgi.App()
    app.add_route("/", Stream())
elif library == "BlackSheep":
    from blacksheep import Application
    from blacksheep.server.sse import ServerSentEvent, TextServerSentEvent

    async def stream() -> AsyncIterable[ServerSentEvent]:
        for text in texts:
            yield TextServerSentEvent(text)

    app = Application()
    app.router.add_get("/", stream)
else:
    from sse_starlette import EventSourceResponse, ServerSentEvent
    from starlette.applications import Starlette
    from starlette.routing import Route

    app = Starlette(routes=[Route("/", lambda request: EventSourceResponse(events(lambda text: ServerSentEvent(data=text))))])
uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical")
PY
mkdir go
cat >go/main.go <<'GO'
package main

import (
	"encoding/json"
	"net/http"
	"os"

	"github.com/gin-gonic/gin"
	"github.com/tmaxmax/go-sse"
)

func main() {
	var texts []string
	file, _ := os.ReadFile("texts.json")
	json.Unmarshal(file, &texts)
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, _ := sse.Upgrade(w, r)
		for _, text := range texts {
			message := &sse.Message{}
			message.AppendData(text)
			session.Send(message)
		}
		session.Flush()
	})
	if os.Args[1] == "Gin" {
		gin.SetMode(gin.ReleaseMode)
		engine := gin.New()
		engine.GET("/", func(c *gin.Context) {
			for _, text := range texts {
				c.SSEvent("message", text)
			}
		})
		handler = engine
	}
	http.ListenAndServe("127.0.0.1:"+os.Args[2], handler)
}
GO
cd go
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
go mod init probe 2>/dev/null
go get github.com/gin-gonic/gin@v1.12.0 github.com/tmaxmax/go-sse@v0.12.0 2>/dev/null
go build -o ../go-server . 2>build.log || { cat build.log; exit 1; }
cd ..
cat >read.mjs <<'JS'
import { createParser } from "eventsource-parser";
const [, , library, port] = process.argv;
const data = [];
const parser = createParser({ onEvent: (event) => data.push(event.data) });
for (let tries = 0; ; tries++) {
  try {
    parser.feed(await (await fetch(`http://127.0.0.1:${port}/`)).text());
    break;
  } catch (error) {
    if (tries === 200) throw error;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
console.log(`${library}: ${JSON.stringify(data)}`);
JS
try() { # NAME PROGRAM...
  local port; port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "${@:2}" "$1" "$port" >/dev/null 2>&1 & server=$!
  node read.mjs "$1" "$port"
  kill $server; wait $server 2>/dev/null || true
}
{
  try Elysia node_modules/.bin/bun server.mjs
  try Falcon venv/bin/python server.py
  try BlackSheep venv/bin/python server.py
  try Gin ./go-server
  try go-sse ./go-server
  try Hono node server.mjs
  try sse-starlette venv/bin/python server.py
} 2>/dev/null | tee seen
cat >expected <<'TXT'
Elysia: ["one"," word","","one","line","end"]
Falcon: ["one"," word","","one","line","end"]
BlackSheep: ["one\\ntwo"," word","one\\r\\ntwo","line\\n","end"]
Gin: ["one\ntwo","word","","one\\r\ntwo","line\n","end"]
go-sse: ["one\ntwo"," word","one\ntwo","line","end"]
Hono: ["one\ntwo"," word","","one\ntwo","line\n","end"]
sse-starlette: ["one\ntwo"," word","","one\ntwo","line\n","end"]
TXT
diff expected seen
