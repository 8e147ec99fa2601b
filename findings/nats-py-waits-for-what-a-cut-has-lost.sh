#!/usr/bin/env bash
# nats-py 2.16.0 (PyPI), JetStream's publish_async() with its limit of what may be unanswered, 3 here (4,000 by default); github.com/nats-io/nats.go 1.55.0 (Go), PublishAsync with the
# same limit, next to it. github.com/nats-io/nats-server/v2 2.15.2 (Go). The network loses three messages, and then the connection; the client connects again by itself.
# Guess: what was not answered when the connection was lost fails: its future says so, publish_async_completed() returns, and the program publishes again. NATS itself keeps nothing
# for a client that was away, so no answer can come any more.
# Seen: nats-py's futures never end, neither with an answer nor with an error; there is no time limit. So publish_async_completed() waits for good, and a program that stops only
# when all is answered does not stop. Each message that a cut has lost keeps its place under the limit: when the limit is reached, after one cut or after many,
# publish_async() does not return any more (with wait_stall it raises), on a connection that is well, while a publish() next to it is stored at once. nats.go fails the three, "server is disconnected", and goes on.
# Keep the futures with their messages: in reconnected_cb cancel those that are not done, which frees their places, and publish the messages again (with a Nats-Msg-Id).
# Needs Go, python3 with venv and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; started=()
trap 'kill "${started[@]}" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
python3 -m venv venv
venv/bin/pip install -q nats-py==2.16.0
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
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

func touch(name string) {
	must(os.Create(name)).Close()
}

func main() {
	if os.Args[1] == "serve" {
		port := must(strconv.Atoi(os.Args[2]))
		server := must(server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: "stored", NoLog: true}))
		server.Start()
		server.WaitForShutdown()
		return
	}
	ctx := context.Background()
	back := make(chan bool, 1)
	connection := must(nats.Connect("nats://127.0.0.1:"+os.Args[2], nats.ReconnectWait(500*time.Millisecond), nats.MaxReconnects(-1),
		nats.ReconnectHandler(func(*nats.Conn) { back <- true })))
	stream := must(jetstream.New(connection, jetstream.WithPublishAsyncMaxPending(3)))
	must(stream.CreateStream(ctx, jetstream.StreamConfig{Name: "GO", Subjects: []string{"go"}}))
	touch("stalled")
	var lost []jetstream.PubAckFuture
	for range 3 {
		lost = append(lost, must(stream.PublishAsync("go", []byte("lost"))))
	}
	connection.Flush()
	time.Sleep(500 * time.Millisecond)
	touch("cut")
	<-back
	for _, future := range lost {
		select {
		case <-future.Ok():
			fmt.Println("nats.go: an answer")
		case err := <-future.Err():
			fmt.Println("nats.go:", err)
		case <-time.After(10 * time.Second):
			fmt.Println("nats.go: nothing in 10 s")
		}
	}
	select {
	case <-stream.PublishAsyncComplete():
		fmt.Println("nats.go: completed")
	case <-time.After(10 * time.Second):
		fmt.Println("nats.go: not completed in 10 s")
	}
	_, err := stream.PublishAsync("go", []byte("next"))
	fmt.Println("nats.go, the next:", err)
}
GO
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
go mod init probe 2>/dev/null
go get github.com/nats-io/nats-server/v2@v2.15.2 github.com/nats-io/nats.go@v1.55.0 2>/dev/null
go build -o probe . 2>build.log || { cat build.log; exit 1; }
cat >publish.py <<'PY'
import asyncio, pathlib, sys
import nats

async def main():
    back = asyncio.Event()
    async def reconnected():
        back.set()
    async def ignore(error):
        pass
    connection = await nats.connect(f"nats://127.0.0.1:{sys.argv[1]}", reconnect_time_wait=0.5, max_reconnect_attempts=-1, reconnected_cb=reconnected, error_cb=ignore)
    stream = connection.jetstream(publish_async_max_pending=3)
    await stream.add_stream(name="PY", subjects=["py"])
    pathlib.Path("stalled").touch()
    lost = [await stream.publish_async("py", b"lost") for _ in range(3)]
    await asyncio.sleep(0.5)
    pathlib.Path("cut").touch()
    await back.wait()
    await asyncio.wait(lost, timeout=10)
    for future in lost:
        print("nats-py:", (future.exception() or "an answer") if future.done() else "nothing in 10 s")
    try:
        await asyncio.wait_for(stream.publish_async_completed(), 10)
        print("nats-py: completed")
    except asyncio.TimeoutError:
        print("nats-py: not completed in 10 s")
    async def next_one(when):
        try:
            await stream.publish_async("py", b"next", wait_stall=5)
            print(f"nats-py, {when}: taken")
        except nats.js.errors.TooManyStalledMsgsError:
            print(f"nats-py, {when}: not taken in 5 s")
    await next_one("the next")
    print("nats-py, publish() on the same connection: stored as", (await stream.publish("py", b"other")).seq)
    for future in lost:
        future.cancel()
    await asyncio.sleep(0.1)
    await next_one("when they are cancelled")

asyncio.run(main())
PY
# Between client and server. While the file "stalled" is there nothing reaches the server; the file "cut" ends the connections, and the network is well again.
cat >proxy.py <<'PY'
import asyncio, os, sys

async def serve(reader, writer):
    to_reader, to_writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    async def up():
        while data := await reader.read(65536):
            if not os.path.exists("stalled"):
                to_writer.write(data)
    async def down():
        while data := await to_reader.read(65536):
            writer.write(data)
    async def cut():
        while not os.path.exists("cut"):
            await asyncio.sleep(0.02)
        os.remove("stalled")
        os.remove("cut")
    parts = [asyncio.create_task(each()) for each in (up, down, cut)]
    await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    for part in parts:
        part.cancel()
    for each in (writer, to_writer):
        each.transport.abort()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()

asyncio.run(main())
PY
read -r port proxied <<<"$(python3 -c '
import socket
both = [socket.socket(), socket.socket()]
for each in both: each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in both))')"
./probe serve "$port" & started+=($!)
python3 proxy.py "$proxied" "$port" & started+=($!)
for each in "$port" "$proxied"; do until (exec 3<>"/dev/tcp/127.0.0.1/$each") 2>/dev/null; do sleep 0.1; done; done
{
  timeout 60 venv/bin/python publish.py "$proxied"
  timeout 60 ./probe publish "$proxied"
} | tee seen
cat >expected <<'TXT'
nats-py: nothing in 10 s
nats-py: nothing in 10 s
nats-py: nothing in 10 s
nats-py: not completed in 10 s
nats-py, the next: not taken in 5 s
nats-py, publish() on the same connection: stored as 1
nats-py, when they are cancelled: taken
nats.go: nats: server is disconnected
nats.go: nats: server is disconnected
nats.go: nats: server is disconnected
nats.go: completed
nats.go, the next: <nil>
TXT
diff expected seen
