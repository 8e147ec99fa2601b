#!/usr/bin/env bash
# github.com/nats-io/nats-server/v2 2.15.2 (Go) with JetStream, files as storage, and the client github.com/nats-io/nats.go 1.55.0.
# Guess: a message that is published again with the same Nats-Msg-Id within the stream's window (two minutes) is recognised as a duplicate, also when the server
# was restarted in between: a publisher that got no answer because the server went down sends again, and that is what the ids are for.
# Seen: with the retention "limits" it is so. With "work queue" and "interest" the ids are read again from the messages that are still stored, and a message that
# has been acknowledged is not: after an orderly restart it is taken for a new one, answered with a number of its own and without `duplicate`, and handed to the
# workers a second time. Without the restart the same publish is recognised, though the message is gone in that case too, so no test of a single run finds it.
# Needs Go and the Go proxy. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"
trap 'rm -rf "$dir"' EXIT
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func start(dir string) (*server.Server, *nats.Conn, jetstream.JetStream) {
	server := must(server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true}))
	go server.Start()
	if !server.ReadyForConnections(20 * time.Second) {
		panic("not ready")
	}
	connection := must(nats.Connect(server.ClientURL()))
	return server, connection, must(jetstream.New(connection))
}

func publish(stream jetstream.JetStream) string {
	answer := must(stream.Publish(context.Background(), "payments.one", []byte("pay 10"), jetstream.WithMsgID("payment-1")))
	if answer.Duplicate {
		return "duplicate"
	}
	return fmt.Sprintf("stored as %d", answer.Sequence)
}

// work hands out what is there and acknowledges it.
func work(stream jetstream.JetStream) int {
	consumer := must(stream.Consumer(context.Background(), "PAYMENTS", "worker"))
	got := 0
	for {
		message, err := consumer.Next(jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return got
		}
		if err := message.DoubleAck(context.Background()); err != nil {
			panic(err)
		}
		got++
	}
}

func main() {
	for _, retention := range []jetstream.RetentionPolicy{jetstream.LimitsPolicy, jetstream.WorkQueuePolicy, jetstream.InterestPolicy} {
		dir := "data-" + retention.String()
		server, connection, stream := start(dir)
		ctx := context.Background()
		must(stream.CreateStream(ctx, jetstream.StreamConfig{Name: "PAYMENTS", Subjects: []string{"payments.>"}, Retention: retention}))
		must(stream.CreateConsumer(ctx, "PAYMENTS", jetstream.ConsumerConfig{Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy}))
		fmt.Printf("%s: %s, handed out %d", retention, publish(stream), work(stream))
		fmt.Printf("; again: %s, handed out %d", publish(stream), work(stream))
		connection.Close()
		server.Shutdown()
		server.WaitForShutdown()
		server, connection, stream = start(dir)
		fmt.Printf("; after a restart: %s, handed out %d\n", publish(stream), work(stream))
		connection.Close()
		server.Shutdown()
		server.WaitForShutdown()
	}
}
GO
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
go mod init probe 2>/dev/null
go get github.com/nats-io/nats-server/v2@v2.15.2 github.com/nats-io/nats.go@v1.55.0 2>/dev/null
go build -o probe . 2>build.log || { cat build.log; exit 1; }
timeout 60 ./probe | tee seen
cat >expected <<'TXT'
Limits: stored as 1, handed out 1; again: duplicate, handed out 0; after a restart: duplicate, handed out 0
WorkQueue: stored as 1, handed out 1; again: duplicate, handed out 0; after a restart: stored as 2, handed out 1
Interest: stored as 1, handed out 1; again: duplicate, handed out 0; after a restart: stored as 2, handed out 1
TXT
diff expected seen
