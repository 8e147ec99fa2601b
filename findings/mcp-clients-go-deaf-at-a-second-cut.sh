#!/usr/bin/env bash
# The Model Context Protocol over Streamable HTTP: @modelcontextprotocol/sdk 1.32.2 (npm, Node), mcp 2.3.0 (PyPI, Python 3) and
# github.com/modelcontextprotocol/go-sdk v1.6.1, each as the client of a server made with the first, which keeps events and replays them behind a Last-Event-ID.
# Guess: a client whose stream is cut asks again with the id of the last event that it got, as often as needed, so that no notification and no answer is lost:
# that is what the protocol calls "Resumability and Redelivery". A server that was away for some seconds is found again, since calls find it.
# Seen: mcp for Python counts lost connections and never begins anew: at the second one, days later and with events in between, it stops listening for good, without
# an error or a warning, and calls go on to work. The SDKs for JavaScript and Go forget their position when a stream that they have resumed is cut before another event: what
# was sent meanwhile is lost, and a call that is cut twice gets no answer (Go's an error), although the server has kept it. Python's and JavaScript's give up listening after two
# tries of about a second each, so a server that is away for five has clients that call it and hear nothing; JavaScript's says so to onerror only. Go's comes back.
# Needs Node, npm, Go, python3 with venv and the registries. Takes a minute. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; servers=
trap 'kill $servers 2>/dev/null || true; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @modelcontextprotocol/sdk@1.32.2 zod@3.25.76 >/dev/null
python3 -m venv venv
venv/bin/pip install -q mcp==2.3.0
cat >server.mjs <<'JS'
import { randomUUID } from "node:crypto";
import http from "node:http";
import net from "node:net";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { z } from "zod";

class Events {
  #events = [];
  async storeEvent(stream, message) {
    this.#events.push({ stream, message });
    return String(this.#events.length);
  }
  async getStreamIdForEventId(id) {
    return this.#events[Number(id) - 1]?.stream;
  }
  async replayEventsAfter(id, { send }) {
    const stream = await this.getStreamIdForEventId(id);
    for (const [index, event] of this.#events.entries()) {
      // An event without a message only says where a stream begins.
      const isMissed = index >= Number(id) && event.stream === stream && Object.keys(event.message).length > 0;
      if (isMissed) await send(String(index + 1), event.message);
    }
    return stream;
  }
}

const sessions = new Map(), connections = new Set();
let newest, away = false;
async function mcp(request, response) {
  let transport = sessions.get(request.headers["mcp-session-id"]);
  if (transport === undefined) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: new Events(),
      onsessioninitialized: (id) => sessions.set(id, transport),
    });
    newest = new McpServer({ name: "server", version: "1" }, { capabilities: { logging: {} } });
    newest.tool("work", { ms: z.number() }, async ({ ms }) => {
      await new Promise((resolve) => setTimeout(resolve, ms));
      return { content: [{ type: "text", text: "answered" }] };
    });
    await newest.connect(transport);
  }
  await transport.handleRequest(request, response);
}
const server = http.createServer(async (request, response) => {
  const [, what, value] = request.url.split("/");
  if (what === "mcp") return mcp(request, response);
  if (what === "notify") await newest.server.sendLoggingMessage({ level: "info", data: Number(value) });
  if (what === "away") away = value === "1";
  if (what === "cut") for (const connection of connections) connection.destroy();
  response.end();
});
// The network, which the clients go through.
const network = net.createServer((client) => {
  if (away) return client.destroy();
  const upstream = net.connect(server.address().port, "127.0.0.1");
  const end = () => (client.destroy(), upstream.destroy(), connections.delete(client));
  for (const socket of [client, upstream]) socket.on("error", end).on("close", end);
  client.pipe(upstream).pipe(client);
  connections.add(client);
});
server.listen(0, "127.0.0.1", () => network.listen(0, "127.0.0.1", () => console.log(server.address().port, network.address().port)));
JS
# What happens, one step a line: notify, cut, away and back, call (starts one that takes as many milliseconds), wait.
cat >steps.json <<'JSON'
{
  "two cuts": ["notify/1", "wait 100", "cut", "notify/2", "wait 3000", "notify/3", "wait 100", "cut", "notify/4", "wait 3000", "notify/5", "wait 300"],
  "two cuts, nothing between": ["notify/1", "wait 100", "cut", "wait 3000", "cut", "notify/2", "wait 3000", "notify/3", "wait 300"],
  "away for 5 s": ["notify/1", "wait 100", "away/1", "cut", "wait 5000", "away/0", "wait 6000", "notify/2", "call 10", "wait 500"],
  "a call, two cuts": ["call 5500", "wait 300", "cut", "wait 2500", "cut", "wait 5500"]
}
JSON
cat >client.mjs <<'JS'
import { readFileSync } from "node:fs";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { LoggingMessageNotificationSchema } from "@modelcontextprotocol/sdk/types.js";

const [, , control, port] = process.argv;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
for (const [name, steps] of Object.entries(JSON.parse(readFileSync("steps.json", "utf8")))) {
  const client = new Client({ name: "client", version: "1" }), got = [];
  client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => { got.push(params.data); });
  await client.connect(new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${port}/mcp`)));
  await sleep(500);
  let call;
  for (const step of steps) {
    const [what, ms] = step.split(" ");
    if (what === "wait") await sleep(Number(ms));
    else if (what === "call") call = client.callTool({ name: "work", arguments: { ms: Number(ms) } }).then(({ content }) => content[0].text, () => "failed");
    else await fetch(`http://127.0.0.1:${control}/${step}`);
  }
  if (call) got.push(`call ${await Promise.race([call, sleep(1_000).then(() => "not answered")])}`);
  console.log(`JavaScript, ${name}: ${got.join(", ")}`);
  await client.close();
}
process.exit();
JS
cat >client.py <<'PY'
import asyncio, json, sys, urllib.request
from mcp.client import Client

control, port = sys.argv[1:]

async def scenario(name, steps):
    got, call = [], None
    async def log(params):
        got.append(params.data)
    async with Client(f"http://127.0.0.1:{port}/mcp", logging_callback=log) as client:
        await asyncio.sleep(0.5)
        for step in steps:
            what, _, ms = step.partition(" ")
            if what == "wait":
                await asyncio.sleep(int(ms) / 1000)
            elif what == "call":
                call = asyncio.create_task(client.call_tool("work", {"ms": int(ms)}))
            else:
                await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{control}/{step}")
        if call:
            try:
                got.append("call " + (await asyncio.wait_for(call, 1)).content[0].text)
            except asyncio.TimeoutError:
                got.append("call not answered")
        print(f"Python, {name}: {', '.join(map(str, got))}", flush=True)

async def main():
    for name, steps in json.load(open("steps.json")).items():
        await scenario(name, steps)

asyncio.run(main())
PY
cat >go.mod <<'TXT'
module probe

go 1.25

require github.com/modelcontextprotocol/go-sdk v1.6.1
TXT
cat >main.go <<'GO'
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func play(name string, steps []string) {
	ctx := context.Background()
	var got []string
	client := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, &mcp.ClientOptions{
		LoggingMessageHandler: func(_ context.Context, request *mcp.LoggingMessageRequest) { got = append(got, fmt.Sprint(request.Params.Data)) },
	})
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: "http://127.0.0.1:" + os.Args[2] + "/mcp"}, nil)
	if err != nil {
		panic(err)
	}
	time.Sleep(500 * time.Millisecond)
	call := make(chan string, 1)
	isCalled := false
	for _, step := range steps {
		what, text, _ := strings.Cut(step, " ")
		var ms int
		fmt.Sscan(text, &ms)
		switch what {
		case "wait":
			time.Sleep(time.Duration(ms) * time.Millisecond)
		case "call":
			isCalled = true
			go func() {
				result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "work", Arguments: map[string]any{"ms": ms}})
				if err != nil {
					call <- "failed"
				} else {
					call <- result.Content[0].(*mcp.TextContent).Text
				}
			}()
		default:
			if answer, err := http.Get("http://127.0.0.1:" + os.Args[1] + "/" + step); err == nil {
				answer.Body.Close()
			}
		}
	}
	if isCalled {
		select {
		case answer := <-call:
			got = append(got, "call "+answer)
		case <-time.After(time.Second):
			got = append(got, "call not answered")
		}
	}
	fmt.Printf("Go, %s: %s\n", name, strings.Join(got, ", "))
	session.Close()
}

func main() {
	text, _ := os.ReadFile("steps.json")
	var scenarios map[string][]string
	json.Unmarshal(text, &scenarios)
	for name, steps := range scenarios {
		play(name, steps)
	}
}
GO
go mod tidy 2>/dev/null
go build -o probe .
for side in js python go; do
  node server.mjs >"$side.ports" 2>/dev/null & servers="$servers $!"
  until [ -s "$side.ports" ]; do sleep 0.1; done
done
node client.mjs $(<js.ports) >js.seen 2>/dev/null & js=$!
./probe $(<go.ports) >go.seen 2>/dev/null & go=$!
venv/bin/python client.py $(<python.ports) >python.seen 2>/dev/null
wait $js $go
LC_ALL=C sort js.seen python.seen go.seen | tee seen
cat >expected <<'TXT'
Go, a call, two cuts: call failed
Go, away for 5 s: 1, 2, call answered
Go, two cuts, nothing between: 1, 3
Go, two cuts: 1, 2, 3, 4, 5
JavaScript, a call, two cuts: call not answered
JavaScript, away for 5 s: 1, call answered
JavaScript, two cuts, nothing between: 1, 3
JavaScript, two cuts: 1, 2, 3, 4, 5
Python, a call, two cuts: call answered
Python, away for 5 s: 1, call answered
Python, two cuts, nothing between: 1
Python, two cuts: 1, 2, 3
TXT
diff expected seen
