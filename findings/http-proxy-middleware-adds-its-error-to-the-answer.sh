#!/usr/bin/env bash
# npm: http-proxy-middleware 3.0.11 with express 5.3.0, its newest 4.2.2, and koa-proxies 0.12.4 with koa 3.3.0; httpxy 0.5.6, @fastify/reply-from 12.6.5 and Hono 4.13.19's proxy next to them.
# Guess: when the connection to the backend is reset in the middle of an answer, a proxy cuts the answer too: headers and status are gone already, so a missing end is the only
# way to say that something is missing (RFC 9112, section 8: "incomplete").
# Seen: the first two write "Error occurred while trying to proxy: host/path" into the body, behind what the backend has sent, and end it in order; koa-proxies writes "OK".
# The client has status 200 and a complete answer: a download is saved with that as its last line, a stream of lines has a broken one at its end, a streamed
# text ends with it, and nobody tries again. A short test never shows it, as errors before the answer are a clean 504 there.
# With a Content-Length the same happens, but the client can tell. Give http-proxy-middleware an on.error that destroys the response when response.headersSent, as the last
# lines here, or use a proxy that cuts.
# Needs Node 20 and npm. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund http-proxy-middleware@3.0.11 http-proxy-middleware-4@npm:http-proxy-middleware@4.2.2 express@5.3.0 koa-proxies@0.12.4 koa@3.3.0 httpxy@0.5.6 \
  fastify@5.12.8 @fastify/reply-from@12.6.5 hono@4.13.19 @hono/node-server@2.1.9 >/dev/null 2>&1
cat >run.mjs <<'JS'
import http from "node:http";
import replyFrom from "@fastify/reply-from";
import { getRequestListener } from "@hono/node-server";
import express from "express";
import fastify from "fastify";
import { Hono } from "hono";
import { proxy } from "hono/proxy";
import * as hpm3 from "http-proxy-middleware";
import * as hpm4 from "http-proxy-middleware-4";
import { createProxyServer } from "httpxy";
import Koa from "koa";
import koaProxies from "koa-proxies";

// Two of the rows of a table, and then the connection is reset, as by a load balancer or a backend that is killed.
const backend = http.createServer((request, response) => {
  response.writeHead(200, { "content-type": "text/csv" });
  response.write("id,name\n1,one\n");
  setTimeout(() => request.socket.resetAndDestroy(), 400);
});
const listen = (server) => new Promise((done) => server.listen(0, "127.0.0.1", () => done(server.address().port)));
const target = `http://127.0.0.1:${await listen(backend)}`;

const withExpress = (middleware) => listen(http.createServer(express().use(middleware)));
const app = fastify();
await app.register(replyFrom, { base: target });
app.get("/*", (request, reply) => reply.from(request.url));
await app.listen({ port: 0, host: "127.0.0.1" });
const httpxy = createProxyServer({ target });
const koa = new Koa();
koa.on("error", () => {});
koa.use(koaProxies("/", { target }));
const cut = (_error, _request, response) => response.headersSent ? response.destroy() : response.writeHead(502).end();
const ports = {
  "http-proxy-middleware 3": await withExpress(hpm3.createProxyMiddleware({ target })),
  "http-proxy-middleware 4": await withExpress(hpm4.createProxyMiddleware({ target })),
  "koa-proxies": await listen(http.createServer(koa.callback())),
  httpxy: await listen(http.createServer((request, response) => httpxy.web(request, response).catch(() => {}))),
  "@fastify/reply-from": app.server.address().port,
  "hono/proxy": await listen(http.createServer(getRequestListener(new Hono().all("*", (c) => proxy(target + c.req.path, { ...c.req })).fetch))),
  "http-proxy-middleware 3, with its own on.error": await withExpress(hpm3.createProxyMiddleware({ target, on: { error: cut } })),
  "http-proxy-middleware 4, with its own on.error": await withExpress(hpm4.createProxyMiddleware({ target, on: { error: cut } })),
};
for (const [name, port] of Object.entries(ports)) {
  let outcome;
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/table.csv`, { signal: AbortSignal.timeout(4000) });
    outcome = `${answer.status}, complete: ${JSON.stringify((await answer.text()).replaceAll(`127.0.0.1:${port}`, "HOST"))}`;
  } catch (error) {
    outcome = error.name === "TimeoutError" ? "hangs" : "cut";
  }
  console.log(`${name}: ${outcome}`);
}
process.exit();
JS
timeout 60 node run.mjs 2>err | tee seen || { tail -5 err; exit 1; }
cat >expected <<'TXT'
http-proxy-middleware 3: 200, complete: "id,name\n1,one\nError occurred while trying to proxy: HOST/table.csv"
http-proxy-middleware 4: 200, complete: "id,name\n1,one\nError occurred while trying to proxy: HOST/table.csv"
koa-proxies: 200, complete: "id,name\n1,one\nOK"
httpxy: cut
@fastify/reply-from: cut
hono/proxy: cut
http-proxy-middleware 3, with its own on.error: cut
http-proxy-middleware 4, with its own on.error: cut
TXT
diff expected seen
