#!/usr/bin/env bash
# autobahn 26.3.1 and wampy 8.0.2 (npm, Node), autobahn 26.10.2 (PyPI) next to them; the router is github.com/gammazero/nexus/v3 3.2.2 (Go).
# Guess: clients that reconnect by themselves, as all three do by default when their router is killed, do so all the more when it restarts in an orderly
# way: it says GOODBYE with wamp.close.system_shutdown, the protocol's word for a router that goes down, and is there again a second later.
# Seen: to autobahn for JavaScript the GOODBYE is an end like one that the program asked for: onclose says "closed", will_retry false, and it
# never comes back. Wampy calls onClose and stays away too. A deploy done well loses every such client, one done with kill -9 loses none, so that
# a test that kills the router passes. autobahn for Python comes back after both.
# Needs Node, npm, Go, python3 with venv and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; router=
trap 'kill $router 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund autobahn@26.3.1 wampy@8.0.2 ws@8.23.0 >/dev/null
python3 -m venv venv
venv/bin/pip install -q autobahn==26.10.2
cat >go.mod <<'TXT'
module probe

go 1.24

require github.com/gammazero/nexus/v3 v3.2.2
TXT
cat >main.go <<'GO'
package main

import (
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/gammazero/nexus/v3/router"
	"github.com/gammazero/nexus/v3/wamp"
)

// A router with one realm. SIGTERM closes it as the library says: each session gets a GOODBYE.
func main() {
	realm := &router.RealmConfig{URI: wamp.URI("news"), AnonymousAuth: true}
	nexus, err := router.NewRouter(&router.Config{RealmConfigs: []*router.RealmConfig{realm}}, log.New(io.Discard, "", 0))
	if err != nil {
		panic(err)
	}
	go http.ListenAndServe("127.0.0.1:"+os.Args[1], router.NewWebsocketServer(nexus))
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	nexus.Close()
}
GO
export GOFLAGS=-mod=mod
go build -o router . 2>build.log || { cat build.log; exit 1; }
cat >client.mjs <<'JS'
import { Wampy } from "wampy";
import WebSocket from "ws";

const [, , library, port] = process.argv;
const url = `ws://127.0.0.1:${port}/`;
if (library === "wampy") {
  const client = new Wampy(url, { realm: "news", ws: WebSocket, onReconnectSuccess: () => console.log("joined") });
  client.connect().then(() => console.log("joined"));
} else {
  globalThis.WebSocket = WebSocket; // Node 22 has one of its own.
  const { default: autobahn } = await import("autobahn");
  const connection = new autobahn.Connection({ url, realm: "news", max_retries: -1 });
  connection.onopen = () => console.log("joined");
  connection.open();
}
JS
cat >client.py <<'PY'
import sys
import txaio
txaio.use_asyncio()
from autobahn.asyncio.component import Component, run

component = Component(transports=[{"type": "websocket", "url": f"ws://127.0.0.1:{sys.argv[2]}/", "max_retries": -1}], realm="news")
component.on_join(lambda session, details: print("joined", flush=True))
run([component], log_level="critical")
PY
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
start() {
  ./router "$port" & router=$!
  until (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done
}
try() {
  local client count
  start
  "${@:3}" "$port" >joined 2>/dev/null & client=$!
  for _ in {1..100}; do grep -q joined joined && break; sleep 0.1; done
  sleep 0.5; kill "-$2" $router; wait $router 2>/dev/null || true
  sleep 1; start; sleep 15
  count=$(grep -c joined joined) || true
  kill $client $router; wait $client $router 2>/dev/null || true
  echo "$1, $2: $([ "$count" -gt 1 ] && echo "comes back" || echo "stays away")"
}
{
  for signal in KILL TERM; do
    try "autobahn (npm)" $signal node client.mjs autobahn
    try "wampy" $signal node client.mjs wampy
    try "autobahn (PyPI)" $signal venv/bin/python client.py component
  done
} 2>/dev/null | tee seen
cat >expected <<'TXT'
autobahn (npm), KILL: comes back
wampy, KILL: comes back
autobahn (PyPI), KILL: comes back
autobahn (npm), TERM: stays away
wampy, TERM: stays away
autobahn (PyPI), TERM: comes back
TXT
diff expected seen
