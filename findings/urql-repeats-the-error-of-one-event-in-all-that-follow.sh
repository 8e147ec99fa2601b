#!/usr/bin/env bash
# npm: @urql/core 6.0.3, its subscriptions, over graphql-ws 6.4.2 and over Server-Sent Events (fetchSubscriptions); graphql-ws alone next to it. ws 8.23.0, Node.
# Guess: each event of a GraphQL subscription is a result of its own: data, errors or both. The program gets each once, as it was sent.
# Seen: urql merges each event into the one before, as it has to for @defer and @stream. So the errors of one event come again with every event
# that follows, for as long as the subscription lives: a program that looks at result.error first drops all of them. The event that had the error and
# "data": null comes with the data of the event before. When the server completes, the last event is delivered again, with
# hasNext false. Over Server-Sent Events whose lines end with CR LF, which the standard allows, not one event arrives; at the end there is an error.
# graphql-ws alone hands out what was sent.
# Needs Node and npm. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @urql/core@6.0.3 wonka@6.3.6 graphql@16.15.0 graphql-ws@6.4.2 ws@8.23.0 >/dev/null
cat >probe.mjs <<'JS'
import { once } from "node:events";
import http from "node:http";
import { Client, fetchExchange, gql, subscriptionExchange } from "@urql/core";
import { createClient } from "graphql-ws";
import { onEnd, pipe, subscribe } from "wonka";
import { WebSocket, WebSocketServer } from "ws";

const EVENTS = [{ data: { n: 1 } }, { data: null, errors: [{ message: "no two" }] }, { data: { n: 3 } }, { data: { n: 4 } }];
const server = http.createServer((request, response) => {
  const end = request.url === "/crlf" ? "\r\n" : "\n";
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const event of EVENTS) response.write(`event: next${end}data: ${JSON.stringify(event)}${end}${end}`);
  response.end(`event: complete${end}data:${end}${end}`);
}).listen(0, "127.0.0.1");
new WebSocketServer({ server, handleProtocols: () => "graphql-transport-ws" }).on("connection", (socket) => {
  socket.on("message", (text) => {
    const { type, id } = JSON.parse(text);
    const send = (message) => socket.send(JSON.stringify(message));
    if (type === "connection_init") send({ type: "connection_ack" });
    if (type !== "subscribe") return;
    for (const payload of EVENTS) send({ id, type: "next", payload });
    send({ id, type: "complete" });
  });
});
await once(server, "listening");
const base = `127.0.0.1:${server.address().port}`;

const show = (name, data, error) => console.log(`${name}: ${data ? `data ${data.n}` : "no data"}${error ? `, error "${error}"` : ""}`);
const socket = createClient({ url: `ws://${base}`, webSocketImpl: WebSocket });
await new Promise((complete) => {
  socket.subscribe({ query: "subscription { n }" }, { next: ({ data, errors }) => show("graphql-ws alone", data, errors?.[0].message), error: complete, complete });
});
const overSocket = subscriptionExchange({
  forwardSubscription: ({ query, variables }) => ({ subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query, variables }, sink) }) }),
});
for (const [name, options] of [
  ["urql over graphql-ws", { url: `http://${base}/`, exchanges: [overSocket] }],
  ["urql over events", { url: `http://${base}/lf`, exchanges: [fetchExchange], fetchSubscriptions: true }],
  ["urql over events, CR LF", { url: `http://${base}/crlf`, exchanges: [fetchExchange], fetchSubscriptions: true }],
]) {
  const client = new Client({ preferGetMethod: false, ...options });
  await new Promise((ended) => pipe(
    client.subscription(gql`subscription { n }`, {}),
    onEnd(() => setTimeout(ended)),
    subscribe(({ data, error }) => show(name, data, error && (error.graphQLErrors[0] ?? error.networkError).message)),
  ));
}
process.exit();
JS
node probe.mjs | tee seen
cat >expected <<'TXT'
graphql-ws alone: data 1
graphql-ws alone: no data, error "no two"
graphql-ws alone: data 3
graphql-ws alone: data 4
urql over graphql-ws: data 1
urql over graphql-ws: data 1, error "no two"
urql over graphql-ws: data 3, error "no two"
urql over graphql-ws: data 4, error "no two"
urql over graphql-ws: data 4, error "no two"
urql over events: data 1
urql over events: data 1, error "no two"
urql over events: data 3, error "no two"
urql over events: data 4, error "no two"
urql over events: data 4, error "no two"
urql over events, CR LF: no data, error "No Content"
TXT
diff expected seen
