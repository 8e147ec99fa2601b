#!/usr/bin/env bash
# koa-ratelimit 6.0.0 (npm), tower_governor 0.8.0 and actix-governor 0.10.0 (crates.io); express-rate-limit 8.7.5, @fastify/rate-limit 11.2.0 (npm) and httprate 0.16.1 (Go)
# next to them. The client is requests 2.34.2 with urllib3 2.8.0's Retry(total=3), which waits as long as Retry-After says.
# Guess: a client that waits as long as Retry-After says is let in when it comes back: the limiter knows when that is, and rounds up to whole seconds.
# Seen: the first three round down. The client comes back up to a second too early, and is told "Retry-After: 0", which is "at once": the rest of its retries are gone within
# milliseconds, and the request fails, a second before it would have been answered. All clients that were limited together come back together, and each
# costs four requests instead of two. Where the limit is one in a second or more, less than a second is left each time, which is 0.
# It hurts those who obey; a client with a backoff of its own, such as backoff_factor=1, gets in. Behind these add a second to Retry-After, or let clients wait a second more.
# Needs Node 20, npm, python3 with venv, Rust, Go and their registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; servers=
trap 'kill -9 $servers 2>/dev/null || true; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund koa-ratelimit@6.0.0 koa@3.3.0 express-rate-limit@8.7.5 express@5.3.0 @fastify/rate-limit@11.2.0 fastify@5.12.8 >/dev/null
python3 -m venv venv
venv/bin/pip install -q requests==2.34.2 urllib3==2.8.0
# Each lets two requests in, and then none for 3 s.
cat >servers.mjs <<'JS'
import http from "node:http";
import fastifyLimit from "@fastify/rate-limit";
import express from "express";
import { rateLimit } from "express-rate-limit";
import fastify from "fastify";
import Koa from "koa";
import koaLimit from "koa-ratelimit";

const listen = (name, handler) => http.createServer(handler).listen(0, "127.0.0.1", function () { console.log(name, this.address().port); });
const koa = new Koa();
koa.use(koaLimit({ driver: "memory", db: new Map(), duration: 3000, max: 2, id: () => "all" }));
koa.use((context) => { context.body = "in"; });
listen("koa-ratelimit", koa.callback());
listen("express-rate-limit", express().use(rateLimit({ windowMs: 3000, limit: 2 })).get("/", (_request, response) => response.send("in")));
const app = fastify();
await app.register(fastifyLimit, { max: 2, timeWindow: 3000 });
app.get("/", async () => "in");
await app.listen({ port: 0, host: "127.0.0.1" });
console.log("@fastify/rate-limit", app.server.address().port);
JS
mkdir rust rust/src go
cat >rust/Cargo.toml <<'TOML'
[package]
name = "limits"
version = "0.1.0"
edition = "2021"
[dependencies]
axum = "=0.8.9"
tokio = { version = "1", features = ["rt-multi-thread", "net", "macros"] }
tower_governor = "=0.8.0"
actix-web = { version = "4", default-features = false, features = ["macros"] }
actix-governor = "=0.10.0"
[profile.dev]
debug = 0
TOML
cat >rust/src/main.rs <<'RS'
use std::net::SocketAddr;

async fn tower() {
    let config = tower_governor::governor::GovernorConfigBuilder::default().per_second(3).burst_size(2).finish().unwrap();
    let app = axum::Router::new().route("/", axum::routing::get(|| async { "in" })).layer(tower_governor::GovernorLayer::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("tower_governor {}", listener.local_addr().unwrap().port());
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await.unwrap();
}

async fn actix() {
    use actix_web::{web, App, HttpServer};
    let config = actix_governor::GovernorConfigBuilder::default().seconds_per_request(3).burst_size(2).finish().unwrap();
    let app = move || App::new().wrap(actix_governor::Governor::new(&config)).route("/", web::get().to(|| async { "in" }));
    let server = HttpServer::new(app).workers(1).bind("127.0.0.1:0").unwrap();
    println!("actix-governor {}", server.addrs()[0].port());
    server.run().await.unwrap();
}

fn main() {
    std::thread::spawn(|| actix_web::rt::System::new().block_on(actix()));
    tokio::runtime::Runtime::new().unwrap().block_on(tower());
}
RS
cat >go/main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/go-chi/httprate"
)

func main() {
	listener, _ := net.Listen("tcp", "127.0.0.1:0")
	fmt.Println("httprate", listener.Addr().(*net.TCPAddr).Port)
	in := http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) { answer.Write([]byte("in")) })
	http.Serve(listener, httprate.LimitAll(2, 3*time.Second)(in))
}
GO
(cd rust && cargo build -q >build.log 2>&1 || { tail -20 build.log; exit 1; })
export GOPATH="$dir/gopath" GOFLAGS=-mod=mod
(cd go && go mod init a >/dev/null 2>&1 && go get github.com/go-chi/httprate@v0.16.1 >/dev/null 2>&1 && go build -o limits .)
cat >client.py <<'PY'
import sys, time
import requests, urllib3
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

class Recorded(Retry):
    told = []
    def get_retry_after(self, response):
        self.told.append(response.headers["retry-after"])
        return super().get_retry_after(response)

name, url = sys.argv[1], f"http://127.0.0.1:{sys.argv[2]}/"
while requests.get(url).status_code == 200:
    pass
time.sleep(0.3)
client = requests.Session()
client.mount("http://", HTTPAdapter(max_retries=Recorded(total=3, status_forcelist=[429], raise_on_status=False)))
outcome = "gets in" if client.get(url).status_code == 200 else "fails"
print(f"{name}: is told {', '.join(Recorded.told)} and {outcome}", flush=True)
PY
node servers.mjs >node.ports & servers="$servers $!"
rust/target/debug/limits >rust.ports & servers="$servers $!"
go/limits >go.ports & servers="$servers $!"
until [ "$(cat ./*.ports | wc -l)" = 6 ]; do sleep 0.2; done
LC_ALL=C sort ./*.ports >ports
while read -r name port; do timeout 30 venv/bin/python client.py "$name" "$port" >>seen; done <ports
cat seen
cat >expected <<'TXT'
@fastify/rate-limit: is told 3 and gets in
actix-governor: is told 2, 0, 0 and fails
express-rate-limit: is told 3 and gets in
httprate: is told 3 and gets in
koa-ratelimit: is told 2, 0, 0 and fails
tower_governor: is told 2, 0, 0 and fails
TXT
diff expected seen
