#!/usr/bin/env bash
# npm: @modelcontextprotocol/sdk 1.32.2, a server over Streamable HTTP with the event store that the package has (examples/shared/inMemoryEventStore.js, which its
# examples of resumable servers use and say is not for production); the client is fetch. Node.
# Guess: a client that comes back with Last-Event-ID gets what it missed of that stream and then what is new, on the GET stream for notifications as on the answer to a
# call: a store in memory loses events in a restart, not while the server runs.
# Seen: on the GET stream the client gets 200 and nothing: neither what it missed nor what is sent later, although it is connected. The store makes ids of the stream's name, "_",
# and a time, and takes what is in front of the first "_" for the name; the SDK calls the GET stream "_GET_stream". So a client that resumes is worse
# off than one that forgets its id. An answer to a call, whose stream has a UUID for a name, is replayed, so a test with calls passes.
# Needs Node, npm and the registry npm. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @modelcontextprotocol/sdk@1.32.2 >/dev/null
cat >probe.mjs <<'JS'
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { InMemoryEventStore } from "@modelcontextprotocol/sdk/examples/shared/inMemoryEventStore.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, eventStore: new InMemoryEventStore() });
const mcp = new McpServer({ name: "server", version: "1" }, { capabilities: { logging: {} } });
mcp.tool("work", async () => {
  await sleep(1_000);
  return { content: [{ type: "text", text: "answered" }] };
});
await mcp.connect(transport);
const server = http.createServer((request, response) => transport.handleRequest(request, response)).listen(0, "127.0.0.1");
await once(server, "listening");
const notify = (number) => mcp.server.sendLoggingMessage({ level: "info", data: number });

const url = `http://127.0.0.1:${server.address().port}/`, headers = { accept: "application/json, text/event-stream" };
const post = (message) => fetch(url, { method: "POST", headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify({ jsonrpc: "2.0", ...message }) });
const client = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "client", version: "1" } };
const hello = await post({ id: 1, method: "initialize", params: client });
await hello.text();
Object.assign(headers, { "mcp-session-id": hello.headers.get("mcp-session-id"), "mcp-protocol-version": "2025-11-25" });
await post({ method: "notifications/initialized" });

// Reads a stream for so long; then the connection is lost.
async function read(answer, ms) {
  const got = [];
  let id, text = "";
  const reader = answer.body.getReader(), end = Date.now() + ms;
  for (;;) {
    const part = await Promise.race([reader.read(), sleep(Math.max(0, end - Date.now()))]);
    if (part === undefined || part.done) break;
    text += Buffer.from(part.value);
  }
  await reader.cancel();
  for (const block of text.split("\n\n")) {
    id = /^id: ?(.+)$/m.exec(block)?.[1] ?? id;
    const data = /^data: ?(\{.+)$/m.exec(block)?.[1];
    if (data) got.push(JSON.parse(data).params?.data ?? JSON.parse(data).result.content[0].text);
  }
  return { got, id };
}
const get = (id) => fetch(url, { headers: id ? { ...headers, "last-event-id": id } : headers });
const show = (what, status, got) => console.log(`${what}: status ${status}, ${got.length > 0 ? got.join(", ") : "nothing"}`);

const first = await get();
setTimeout(notify, 100, 1);
const { got, id } = await read(first, 400);
show("GET stream", first.status, got);
await sleep(200);
await notify(2);
const resumed = await get(id);
setTimeout(notify, 100, 3);
show("GET stream, resumed, 2 missed and 3 sent", resumed.status, (await read(resumed, 500)).got);
await sleep(200);

const call = await post({ id: 2, method: "tools/call", params: { name: "work" } });
const cut = await read(call, 400);
show("call, cut", call.status, cut.got);
await sleep(1_200);
const answer = await get(cut.id);
show("call, resumed", answer.status, (await read(answer, 500)).got);
process.exit();
JS
node probe.mjs 2>/dev/null | tee seen
cat >expected <<'TXT'
GET stream: status 200, 1
GET stream, resumed, 2 missed and 3 sent: status 200, nothing
call, cut: status 200, nothing
call, resumed: status 200, answered
TXT
diff expected seen
