#!/usr/bin/env bash
# github.com/nats-io/nats-server/v2 2.15.2 (Go) with JetStream, files as storage, one server, and the client github.com/nats-io/nats.go 1.55.0.
# Guess: a mirror is a copy of its origin, "with the same sequence numbers". When the origin was deleted and made anew, as at a restore or a change that needs it, the
# mirror begins again, or says that it cannot: its state has a field for an error, and one for the lag.
# Seen: it goes on behind the last number that it had. The new stream's messages up to that number are never copied, the old ones stay in their places, and from there
# on both agree: the same count of messages, the same last number, lag 0, no error, other messages. Until the new stream is as long as the old one was, nothing
# comes at all. A reader of the mirror (another region, a leaf, an archive) misses the beginning of the new stream for good. A stream with the origin as a source,
# made in the same way, copies all of it, behind the old. Whoever makes an origin anew must delete and make its mirrors too, and compare more than counts.
# Needs Go and the Go proxy. Takes a minute. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"
trap 'rm -rf "$dir"' EXIT
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var ctx = context.Background()

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func publish(stream jetstream.JetStream, name string, count int) {
	for number := range count {
		must(stream.Publish(ctx, "orders", []byte(fmt.Sprint(name, number+1))))
	}
}

// until waits for a number of messages, and then a moment longer.
func until(stream jetstream.Stream, count uint64) *jetstream.StreamInfo {
	for range 60 {
		if must(stream.Info(ctx)).State.Msgs >= count {
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	time.Sleep(2 * time.Second)
	return must(stream.Info(ctx))
}

func contents(stream jetstream.Stream) string {
	state := must(stream.Info(ctx)).State
	texts := []string{}
	for number := state.FirstSeq; number <= state.LastSeq; number++ {
		texts = append(texts, string(must(stream.GetMsg(ctx, number)).Data))
	}
	return strings.Join(texts, " ")
}

func main() {
	server := must(server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: "data", NoLog: true, NoSigs: true}))
	go server.Start()
	if !server.ReadyForConnections(20 * time.Second) {
		panic("not ready")
	}
	js := must(jetstream.New(must(nats.Connect(server.ClientURL()))))
	config := jetstream.StreamConfig{Name: "ORIGIN", Subjects: []string{"orders"}}
	origin := must(js.CreateStream(ctx, config))
	from := &jetstream.StreamSource{Name: "ORIGIN"}
	mirror := must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "MIRROR", Mirror: from}))
	source := must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "SOURCE", Sources: []*jetstream.StreamSource{from}}))
	publish(js, "old", 4)
	until(mirror, 4)
	until(source, 4)
	fmt.Println("mirror:", contents(mirror))
	if err := js.DeleteStream(ctx, "ORIGIN"); err != nil {
		panic(err)
	}
	origin = must(js.CreateStream(ctx, config))
	publish(js, "new", 6)
	until(source, 10)
	state := until(mirror, 6)
	fmt.Println("origin, made anew:", contents(origin))
	fmt.Println("mirror:", contents(mirror))
	fmt.Printf("mirror says: lag %d, error %v, %d messages of %d\n", state.Mirror.Lag, state.Mirror.Error, state.State.Msgs, must(origin.Info(ctx)).State.Msgs)
	fmt.Println("source:", contents(source))
}
GO
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
go mod init probe 2>/dev/null
go get github.com/nats-io/nats-server/v2@v2.15.2 github.com/nats-io/nats.go@v1.55.0 2>/dev/null
go build -o probe . 2>build.log || { cat build.log; exit 1; }
timeout 120 ./probe | tee seen
cat >expected <<'TXT'
mirror: old1 old2 old3 old4
origin, made anew: new1 new2 new3 new4 new5 new6
mirror: old1 old2 old3 old4 new5 new6
mirror says: lag 0, error <nil>, 6 messages of 6
source: old1 old2 old3 old4 new1 new2 new3 new4 new5 new6
TXT
diff expected seen
