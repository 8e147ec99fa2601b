#!/usr/bin/env bash
# npm: rpc-websockets 10.0.1 (JSON-RPC over WebSocket, client and server) and web3 4.16.0 (Ethereum's JSON-RPC); viem 2.57.20 next to them. ws 8.23.0, Node.
# Guess: a client that reconnects by itself, which all three do, makes its subscriptions anew, and what it was asked when the connection was lost fails.
# Seen: rpc-websockets connects again and says "open", but does not subscribe again: calls work, and no event ever comes. A call that was under way is
# neither answered nor refused, its promise stays pending for ever; its time limit is not set by default. web3 connects again without its
# subscription too: "data" does not come any more, and neither "error" nor anything else is said of it. When the server closes with 1001, as at a
# restart, web3 takes that for an end that was wanted and stays away, while a cut brings it back. viem subscribes again in both cases.
# Needs Node and npm. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund rpc-websockets@10.0.1 web3@4.16.0 viem@2.57.20 ws@8.23.0 >/dev/null
cat >rpc.mjs <<'JS'
import { once } from "node:events";
import { Client, Server } from "rpc-websockets";

const sleep = (ms, value) => new Promise((resolve) => setTimeout(resolve, ms, value));
const server = new Server({ port: 0, host: "127.0.0.1" });
await once(server, "listening");
server.event("news");
server.register("work", ([ms]) => sleep(ms, "answered"));
const client = new Client(`ws://127.0.0.1:${server.wss.address().port}`);
await once(client, "open");
await client.subscribe("news");
const got = [];
client.on("news", (number) => got.push(number));
server.emit("news", 1);
await sleep(200);
const call = client.call("work", [1_000]).catch(() => "failed");
await sleep(200);
for (const socket of server.wss.clients) socket.terminate();
await once(client, "open");
await sleep(1_000);
server.emit("news", 2);
await sleep(200);
console.log(`rpc-websockets, cut: events ${got.join(" ")}; a call: ${await client.call("work", [1])}; one under way: ${await Promise.race([call, sleep(5_000, "nothing")])}`);
process.exit();
JS
cat >chain.mjs <<'JS'
import { once } from "node:events";
import { createPublicClient, webSocket } from "viem";
import { mainnet } from "viem/chains";
import { Web3, WebSocketProvider } from "web3";
import { WebSocketServer } from "ws";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
await once(server, "listening");
const answers = { eth_chainId: "0x1", eth_subscribe: "0x10", eth_accounts: [] };
let connections = 0;
server.on("connection", (socket) => {
  connections++;
  socket.on("message", (text) => {
    const { id, method } = JSON.parse(text);
    if (method === "eth_subscribe") socket.isSubscribed = true;
    socket.send(JSON.stringify({ jsonrpc: "2.0", id, result: answers[method] ?? null }));
  });
});
const zeros = (length) => `0x${"0".repeat(length)}`;
const block = (number) => ({
  number: `0x${number}`, hash: zeros(64), parentHash: zeros(64), nonce: zeros(16), sha3Uncles: zeros(64), logsBloom: zeros(512), transactionsRoot: zeros(64),
  stateRoot: zeros(64), receiptsRoot: zeros(64), miner: zeros(40), difficulty: "0x0", extraData: "0x", gasLimit: "0x1", gasUsed: "0x0", timestamp: "0x1",
});
const emit = (number) => {
  const params = { subscription: "0x10", result: block(number) };
  for (const socket of server.clients) if (socket.isSubscribed) socket.send(JSON.stringify({ jsonrpc: "2.0", method: "eth_subscription", params }));
};
const url = `ws://127.0.0.1:${server.address().port}`;
const libraries = {
  async web3(got) {
    const web3 = new Web3(new WebSocketProvider(url, {}, { autoReconnect: true, delay: 300, maxAttempts: 20 }));
    const subscription = await web3.eth.subscribe("newBlockHeaders");
    subscription.on("data", ({ number }) => got.push(Number(number)));
    subscription.on("error", () => got.push("error"));
    return () => web3.currentProvider.disconnect();
  },
  async viem(got) {
    const { transport } = createPublicClient({ chain: mainnet, transport: webSocket(url, { reconnect: { attempts: 20, delay: 300 } }) });
    await transport.subscribe({ params: ["newHeads"], onData: ({ result }) => result && got.push(Number(result.number)), onError() {} });
    return async () => (await transport.getRpcClient()).close();
  },
};
for (const [name, start] of Object.entries(libraries)) {
  for (const how of ["cut", "closed with 1001"]) {
    const got = [];
    const stop = await start(got);
    await sleep(300);
    emit(1);
    await sleep(300);
    connections = 0;
    for (const socket of server.clients) how === "cut" ? socket.terminate() : socket.close(1001);
    await sleep(4_000);
    emit(2);
    await sleep(300);
    console.log(`${name}, ${how}: ${connections > 0 ? "connects again" : "stays away"}, events ${got.join(" ")}`);
    await stop();
    for (const socket of server.clients) socket.terminate();
    await sleep(300);
  }
}
process.exit();
JS
{ node rpc.mjs 2>/dev/null; node chain.mjs 2>/dev/null; } | tee seen
cat >expected <<'TXT'
rpc-websockets, cut: events 1; a call: answered; one under way: nothing
web3, cut: connects again, events 1
web3, closed with 1001: stays away, events 1
viem, cut: connects again, events 1 2
viem, closed with 1001: connects again, events 1 2
TXT
diff expected seen
