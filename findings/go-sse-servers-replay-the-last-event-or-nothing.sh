#!/usr/bin/env bash
# Servers of Server-Sent Events in Go, each with its own replay in memory: github.com/r3labs/sse/v2 2.10.0 (AutoReplay, its default), donovanhide/eventsource c59027999da0 and
# launchdarkly/eventsource 1.10.0 (SliceRepository), tmaxmax/go-sse 0.12.0 (FiniteReplayer). The same five events, with the ids 101 to 105, go to all.
# Guess: a client that comes back with "Last-Event-ID: 103" gets 104 and 105 (WHATWG HTML, section 9.2.3); one whose id the server does not know any more, after a restart, is
# sent all that the server has, or told.
# Seen: donovanhide's and launchdarkly's send 103 again, so that a client gets its last event a second time at each reconnection. r3labs throws the publisher's ids away and counts from 0:
# it, too, repeats the last event, and after a restart, when it counts from 0 again, it sends nothing to a client that has a higher number, though it keeps three events that this
# client has not seen; a later client's number names another event. An id that is no number, as another server has given it, is refused with 400, at which an EventSource stops for good. tmaxmax's
# replays as it should, but nothing at all when it does not know the id. Whoever uses them has to drop an event whose id he has seen, to send ids that go on
# over a restart, and to look up himself where a client begins (donovanhide's and launchdarkly's Repository, tmaxmax's Replayer are interfaces).
# Needs Go, Node and the Go proxy. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
go mod init replay >/dev/null 2>&1
go get github.com/r3labs/sse/v2@v2.10.0 github.com/tmaxmax/go-sse@v0.12.0 github.com/donovanhide/eventsource@v0.0.0-20210830082556-c59027999da0 github.com/launchdarkly/eventsource@v1.10.0 >/dev/null 2>&1
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"net/http"

	donovanhide "github.com/donovanhide/eventsource"
	launchdarkly "github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"
)

type event struct{ id string }

func (e event) Id() string    { return e.id }
func (e event) Event() string { return "" }
func (e event) Data() string  { return "data-" + e.id }

func main() {
	a := r3labs.New()
	a.CreateStream("news")
	b, bKept := donovanhide.NewServer(), donovanhide.NewSliceRepository()
	b.Register("news", bKept)
	c, cKept := launchdarkly.NewServer(), launchdarkly.NewSliceRepository()
	c.Register("news", cKept)
	replayer, err := tmaxmax.NewFiniteReplayer(100, false)
	if err != nil {
		panic(err)
	}
	d := &tmaxmax.Server{Provider: &tmaxmax.Joe{Replayer: replayer}}
	http.HandleFunc("/r3labs", a.ServeHTTP)
	http.HandleFunc("/donovanhide", b.Handler("news"))
	http.HandleFunc("/launchdarkly", c.Handler("news"))
	http.Handle("/tmaxmax", d)
	http.HandleFunc("/publish", func(_ http.ResponseWriter, request *http.Request) {
		e := event{request.URL.Query().Get("id")}
		a.Publish("news", &r3labs.Event{ID: []byte(e.id), Data: []byte(e.Data())})
		bKept.Add("news", e)
		b.Publish([]string{"news"}, e)
		cKept.Add("news", e)
		c.Publish([]string{"news"}, e)
		message := &tmaxmax.Message{ID: tmaxmax.ID(e.id)}
		message.AppendData(e.Data())
		if err := d.Publish(message); err != nil {
			panic(err)
		}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr())
	http.Serve(listener, nil)
}
GO
go mod tidy >/dev/null 2>&1
go build -o replay .
cat >run.mjs <<'JS'
import { spawn } from "node:child_process";

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const libraries = ["r3labs", "donovanhide", "launchdarkly", "tmaxmax"];
let server;
async function start() {
  server?.kill("SIGKILL");
  server = spawn("./replay", { stdio: ["ignore", "pipe", "inherit"] });
  return `http://${String(await new Promise((done) => server.stdout.once("data", done))).trim()}`;
}
/** What a client gets in 700 ms: the data of each event, and the id that it came with. */
async function read(url, library, id) {
  let text = "";
  try {
    const answer = await fetch(`${url}/${library}?stream=news`, { headers: id ? { "last-event-id": id } : {}, signal: AbortSignal.timeout(700) });
    if (answer.status !== 200) return String(answer.status);
    for await (const chunk of answer.body) text += Buffer.from(chunk);
  } catch {}
  return [...text.matchAll(/id: ?(.*)\ndata: ?data-(.*)/g)].map(([, as, event]) => (as === event ? event : `${event} as ${as}`)).join(", ") || "nothing";
}
let url = await start();
const live = libraries.map((library) => read(url, library));
await pause(300);
for (let id = 101; id <= 105; id++) await fetch(`${url}/publish?id=${id}`);
const got = await Promise.all(live);
const last = { r3labs: "2", donovanhide: "103", launchdarkly: "103", tmaxmax: "103" };
for (const [index, library] of libraries.entries()) {
  console.log(`${library}: live: ${got[index]}`);
  console.log(`${library}: behind 103: ${await read(url, library, last[library])}`);
  console.log(`${library}: behind an id of another server: ${await read(url, library, "k3-77")}`);
}
url = await start();
for (let id = 106; id <= 108; id++) await fetch(`${url}/publish?id=${id}`);
for (const library of ["r3labs", "tmaxmax"]) console.log(`${library}: restarted, has 106 to 108, behind 105: ${await read(url, library, library === "r3labs" ? "4" : "105")}`);
server.kill("SIGKILL");
process.exit();
JS
node run.mjs | tee seen
cat >expected <<'TXT'
r3labs: live: 101 as 0, 102 as 1, 103 as 2, 104 as 3, 105 as 4
r3labs: behind 103: 103 as 2, 104 as 3, 105 as 4
r3labs: behind an id of another server: 400
donovanhide: live: 101, 102, 103, 104, 105
donovanhide: behind 103: 103, 104, 105
donovanhide: behind an id of another server: nothing
launchdarkly: live: 101, 102, 103, 104, 105
launchdarkly: behind 103: 103, 104, 105
launchdarkly: behind an id of another server: nothing
tmaxmax: live: 101, 102, 103, 104, 105
tmaxmax: behind 103: 104, 105
tmaxmax: behind an id of another server: nothing
r3labs: restarted, has 106 to 108, behind 105: nothing
tmaxmax: restarted, has 106 to 108, behind 105: nothing
TXT
diff expected seen
