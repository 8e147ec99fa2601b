#!/usr/bin/env bash
# npm: @apollo/client 3.14.0 over graphql-ws 6.4.2; @apollo/client 4.3.8 next to it. ws 8.23.0, Node.
# Guess: an event of a GraphQL subscription whose resolver failed is a result with "errors", and the stream goes on with the next event (GraphQL's
# specification, "Source Stream" and "Response Stream"; the protocol has another message, "error", for a subscription that is over).
# Seen: with its default errorPolicy, "none", Apollo Client 3 takes the event for the end. It calls error() and unsubscribes at the server, so one event that one
# resolver could not make up silences the subscription for good, while the server is ready to send more. A page that logs the error and shows what
# it has looks alive. With errorPolicy "all" or "ignore", or with Apollo Client 4 whatever the policy, all events arrive.
# Needs Node and npm. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund three@npm:@apollo/client@3.14.0 four@npm:@apollo/client@4.3.8 graphql@16.15.0 graphql-ws@6.4.2 ws@8.23.0 rxjs@7.8.2 react@19.2.0 >/dev/null
cat >probe.mjs <<'JS'
import { once } from "node:events";
import { createRequire } from "node:module";
import { createClient } from "graphql-ws";
import { WebSocket, WebSocketServer } from "ws";

const require = createRequire(import.meta.url);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const EVENTS = [{ data: { n: 1 } }, { data: null, errors: [{ message: "no two" }] }, { data: { n: 3 } }, { data: { n: 4 } }];
let newest;
const server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: () => "graphql-transport-ws" });
server.on("connection", (socket) => (newest = socket).on("message", async (text) => {
  const { type, id } = JSON.parse(text);
  const send = (message) => socket.send(JSON.stringify(message));
  if (type === "connection_init") send({ type: "connection_ack" });
  if (type === "complete") socket.isUnsubscribed = true;
  if (type !== "subscribe") return;
  for (const payload of EVENTS) {
    if (!socket.isUnsubscribed) send({ id, type: "next", payload });
    await sleep(200);
  }
}));
await once(server, "listening");

for (const version of ["three", "four"]) {
  const { ApolloClient, gql, InMemoryCache } = require(`${version}/core`), { GraphQLWsLink } = require(`${version}/link/subscriptions`);
  for (const errorPolicy of ["none", "all", "ignore"]) {
    const socket = createClient({ url: `ws://127.0.0.1:${server.address().port}`, webSocketImpl: WebSocket });
    const client = new ApolloClient({ cache: new InMemoryCache(), link: new GraphQLWsLink(socket) });
    const got = [];
    // "none" is the default.
    const options = errorPolicy === "none" ? {} : { errorPolicy };
    const subscription = client.subscribe({ query: gql`subscription { n }`, ...options }).subscribe({
      next: ({ data }) => got.push(data?.n ?? "no data"),
      error: () => got.push("error()"),
    });
    await sleep(1_200);
    console.log(`Apollo Client ${version}, ${errorPolicy}: ${got.join(", ")}${newest.isUnsubscribed ? ", unsubscribed" : ""}`);
    subscription.unsubscribe();
    await socket.dispose();
  }
}
process.exit();
JS
node probe.mjs 2>/dev/null | tee seen
cat >expected <<'TXT'
Apollo Client three, none: 1, error(), unsubscribed
Apollo Client three, all: 1, no data, 3, 4
Apollo Client three, ignore: 1, no data, 3, 4
Apollo Client four, none: 1, no data, 3, 4
Apollo Client four, all: 1, no data, 3, 4
Apollo Client four, ignore: 1, 3, 4
TXT
diff expected seen
