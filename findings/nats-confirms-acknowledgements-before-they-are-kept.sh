#!/usr/bin/env bash
# github.com/nats-io/nats-server/v2 2.15.2 (Go) with JetStream, files as storage, a stream with limits, and the client github.com/nats-io/nats.go 1.55.0.
# Guess: an acknowledgement that the server has confirmed, DoubleAck, holds when the server's process is killed right after: the confirmation exists for those
# who must not handle a message twice. The machine goes on, so nothing depends on the disk, and what the server has confirmed of publishing is there.
# Seen: the server answers at once, and writes down what the consumer has done some time later, up to about a tenth of a second. What was acknowledged in between
# is handed out again after kill -9 (a container that is out of memory, say), though DoubleAck has returned nil for it: in two trials by hand all
# of 1,000. With a second before the kill, none in thirty trials. Messages that were published in the same moment, after that, are all there.
# Needs Go and the Go proxy. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"
trap 'kill -9 $(cat pid 2>/dev/null) 2>/dev/null || true; rm -rf "$dir"' EXIT
cat >main.go <<'GO'
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const acknowledged, later = 500, 20

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func serve(dir string) {
	server := must(server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true}))
	go server.Start()
	if !server.ReadyForConnections(20 * time.Second) {
		panic("not ready")
	}
	fmt.Println(server.ClientURL())
	select {}
}

func start(dir string) (*exec.Cmd, jetstream.JetStream) {
	command := exec.Command(os.Args[0], dir)
	output := must(command.StdoutPipe())
	if err := command.Start(); err != nil {
		panic(err)
	}
	os.WriteFile("pid", []byte(strconv.Itoa(command.Process.Pid)), 0o600)
	url := must(bufio.NewReader(output).ReadString('\n'))
	return command, must(jetstream.New(must(nats.Connect(strings.TrimSpace(url), nats.NoReconnect()))))
}

func kill(command *exec.Cmd) {
	command.Process.Kill()
	command.Wait()
}

// fetch acknowledges what is there and says of which messages that was confirmed.
func fetch(consumer jetstream.Consumer, count int) map[string]bool {
	confirmed := map[string]bool{}
	for message := range must(consumer.Fetch(count, jetstream.FetchMaxWait(time.Second))).Messages() {
		if err := message.DoubleAck(context.Background()); err != nil {
			panic(err)
		}
		confirmed[string(message.Data())] = true
	}
	return confirmed
}

// round says how many of the confirmed came again, and how many of those that were published after them are there.
func round(dir string, pause time.Duration) (again, fresh int) {
	ctx := context.Background()
	command, stream := start(dir)
	must(stream.CreateStream(ctx, jetstream.StreamConfig{Name: "JOBS", Subjects: []string{"jobs"}}))
	consumer := must(stream.CreateConsumer(ctx, "JOBS", jetstream.ConsumerConfig{Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy}))
	for number := range acknowledged {
		must(stream.Publish(ctx, "jobs", []byte(fmt.Sprint("first ", number))))
	}
	confirmed := fetch(consumer, acknowledged)
	if len(confirmed) != acknowledged {
		panic(len(confirmed))
	}
	for number := range later {
		must(stream.Publish(ctx, "jobs", []byte(fmt.Sprint("later ", number))))
	}
	time.Sleep(pause)
	kill(command)
	command, stream = start(dir)
	for name := range fetch(must(stream.Consumer(ctx, "JOBS", "worker")), acknowledged+later) {
		if confirmed[name] {
			again++
		} else {
			fresh++
		}
	}
	kill(command)
	return again, fresh
}

func main() {
	if len(os.Args) > 1 {
		serve(os.Args[1])
	}
	for _, pause := range []time.Duration{0, time.Second} {
		again, fresh, rounds := 0, 0, 0
		for again == 0 && rounds < 10 {
			again, fresh = round(fmt.Sprint("data", pause, rounds), pause)
			rounds++
		}
		some := "none"
		if again > 0 {
			some = "some"
		}
		fmt.Printf("killed after %v: %d confirmed, %s of them again, %d of %d later ones there\n", pause, acknowledged, some, fresh, later)
	}
}
GO
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
go mod init probe 2>/dev/null
go get github.com/nats-io/nats-server/v2@v2.15.2 github.com/nats-io/nats.go@v1.55.0 2>/dev/null
go build -o probe . 2>build.log || { cat build.log; exit 1; }
timeout 60 ./probe | tee seen
cat >expected <<'TXT'
killed after 0s: 500 confirmed, some of them again, 20 of 20 later ones there
killed after 1s: 500 confirmed, none of them again, 20 of 20 later ones there
TXT
diff expected seen
