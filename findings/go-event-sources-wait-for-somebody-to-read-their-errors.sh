#!/usr/bin/env bash
# github.com/donovanhide/eventsource c59027999da0 and github.com/launchdarkly/eventsource v1.10.0 (Go), their clients of Server-Sent Events, Subscribe as in the documentation.
# Guess: the client comes back by itself when a stream ends, and a program that only reads Events gets all of them: of Errors the first one's documentation says that they are "mainly for
# informative purposes", that no action is required, and that the stream goes on by itself.
# Seen: at the first end of a stream, orderly or not, the client puts an error into a channel without room and waits until somebody takes it. A program that reads only Events never
# hears anything again: there is no second request, and no error. Until the first deploy all is well. With a goroutine that empties Errors, both come back.
# (launchdarkly's takes a StreamOptionErrorHandler in its place, which was not tried.)
# Needs Go and the Go proxy. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
go mod init client >/dev/null 2>&1
go get github.com/donovanhide/eventsource@v0.0.0-20210830082556-c59027999da0 github.com/launchdarkly/eventsource@v1.10.0 >/dev/null 2>&1
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	donovanhide "github.com/donovanhide/eventsource"
	launchdarkly "github.com/launchdarkly/eventsource"
)

// Each stream has one event and ends half a second later.
func server(requests *atomic.Int32) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		number := requests.Add(1)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "retry: 200\nid: %d\ndata: event %d\n\n", number, number)
		w.(http.Flusher).Flush()
		time.Sleep(500 * time.Millisecond)
	}))
}

// The data of the next event, or nothing when the time is over.
func nextOf[Event interface{ Data() string }](events <-chan Event, limit <-chan time.Time) func() (string, bool) {
	return func() (string, bool) {
		select {
		case event := <-events:
			return event.Data(), true
		case <-limit:
			return "", false
		}
	}
}

func main() {
	for _, library := range []string{"donovanhide", "launchdarkly"} {
		for _, reads := range []string{"only Events", "Events and Errors"} {
			var requests atomic.Int32
			url := server(&requests).URL
			got := []string{}
			limit := time.After(6 * time.Second)
			var errors chan error
			var next func() (string, bool)
			var err error
			if library == "donovanhide" {
				var stream *donovanhide.Stream
				if stream, err = donovanhide.Subscribe(url, ""); err == nil {
					errors, next = stream.Errors, nextOf(stream.Events, limit)
				}
			} else {
				var stream *launchdarkly.Stream
				if stream, err = launchdarkly.Subscribe(url, ""); err == nil {
					errors, next = stream.Errors, nextOf(stream.Events, limit)
				}
			}
			if err != nil {
				panic(err)
			}
			if reads != "only Events" {
				go func() {
					for range errors {
					}
				}()
			}
			for event, ok := next(); ok && len(got) < 3; event, ok = next() {
				if strings.HasPrefix(event, "event") {
					got = append(got, event)
				}
			}
			fmt.Printf("%s, reads %s: %s\n", library, reads, strings.Join(got, ", "))
		}
	}
}
GO
go mod tidy >/dev/null 2>&1
go run . 2>/dev/null | tee seen
cat >expected <<'TXT'
donovanhide, reads only Events: event 1
donovanhide, reads Events and Errors: event 1, event 2, event 3
launchdarkly, reads only Events: event 1
launchdarkly, reads Events and Errors: event 1, event 2, event 3
TXT
diff expected seen
