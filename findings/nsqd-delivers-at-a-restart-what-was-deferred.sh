#!/usr/bin/env bash
# github.com/nsqio/nsq 1.3.0 (Go), its package nsqd with default options, and the client github.com/nsqio/go-nsq 1.1.0.
# Guess: a message that was published to be delivered in half an hour, DeferredPublish, is delivered in half an hour. A server that is stopped in an orderly
# way (SIGTERM, nsqd.Exit) writes what it has in memory to its disk, so the message is there after a restart, with what is left of its time.
# Seen: it is there, and delivered at once: what is written is the message without its time. Whatever was put off comes due with every deploy of nsqd: the
# reminder of next week, the payment that is to be tried again in an hour, and, since a message that a consumer gives back with a delay, RequeueWithoutBackoff,
# waits in the same place, everything that waits for a service which is down. The count of attempts outlives the restart, so a program that counts is misled too.
# Needs Go, python3 and the Go proxy. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"os/signal"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nsqio/go-nsq"
	"github.com/nsqio/nsq/nsqd"
)

func serve(port string) {
	options := nsqd.NewOptions()
	options.TCPAddress, options.HTTPAddress, options.DataPath, options.LogLevel = "127.0.0.1:"+port, "127.0.0.1:0", "data", 4
	server, err := nsqd.New(options)
	if err != nil {
		panic(err)
	}
	server.LoadMetadata()
	server.PersistMetadata()
	go server.Main()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	server.Exit()
}

func publish(address string) {
	producer, _ := nsq.NewProducer(address, nsq.NewConfig())
	producer.SetLoggerLevel(nsq.LogLevelMax)
	for producer.Ping() != nil {
		time.Sleep(100 * time.Millisecond)
	}
	if err := producer.DeferredPublish("jobs", 30*time.Minute, []byte("in half an hour")); err != nil {
		panic(err)
	}
	producer.Publish("jobs", []byte("now"))
	producer.Publish("jobs", []byte("given back"))
	fmt.Println("published: now, given back, in half an hour")
}

// Prints what comes within 4 s. "given back" is given back for half an hour.
func consume(address string) {
	var lock sync.Mutex
	var got []string
	consumer, _ := nsq.NewConsumer("jobs", "workers", nsq.NewConfig())
	consumer.SetLoggerLevel(nsq.LogLevelMax)
	consumer.AddHandler(nsq.HandlerFunc(func(message *nsq.Message) error {
		lock.Lock()
		got = append(got, fmt.Sprintf("%s (attempt %d)", message.Body, message.Attempts))
		lock.Unlock()
		if string(message.Body) == "given back" {
			message.DisableAutoResponse()
			message.RequeueWithoutBackoff(30 * time.Minute)
		}
		return nil
	}))
	for consumer.ConnectToNSQD(address) != nil {
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(4 * time.Second)
	consumer.Stop()
	<-consumer.StopChan
	sort.Strings(got)
	fmt.Println(strings.Join(got, ", "))
}

func main() {
	switch os.Args[1] {
	case "serve":
		serve(os.Args[2])
	case "publish":
		publish("127.0.0.1:" + os.Args[2])
	default:
		consume("127.0.0.1:" + os.Args[2])
	}
}
GO
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
go mod init probe 2>/dev/null
go get github.com/nsqio/nsq@v1.3.0 github.com/nsqio/go-nsq@v1.1.0 2>/dev/null
go build -o probe . 2>build.log || { cat build.log; exit 1; }
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir data
serve() { ./probe serve "$port" & server=$!; }
{
  serve
  ./probe publish "$port"
  echo "before the restart: $(./probe consume "$port")"
  kill $server; wait $server || true
  serve
  echo "right after it: $(./probe consume "$port")"
  kill $server; wait $server || true
} >seen 2>/dev/null
cat seen
cat >expected <<'TXT'
published: now, given back, in half an hour
before the restart: given back (attempt 1), now (attempt 1)
right after it: given back (attempt 2), in half an hour (attempt 1)
TXT
diff expected seen
