#!/usr/bin/env bash
# cloudevents 10.0.0 (npm, Node), HTTP.binary, HTTP.structured and HTTP.toEvent; github.com/cloudevents/sdk-go/v2 2.16.2 (Go) reads the same requests.
# Guess: an event whose data are JSON (datacontenttype application/json) has the same data at the other end, whatever JSON value they are and
# whichever of the two modes carries them.
# Seen: toEvent reads a structured event whose data are 0, false or an empty text as one without data: a counter at 0 or a false arrives as undefined, without
# an error. In binary mode it makes texts of numbers and of false, and a text goes out without quotation marks, which is no JSON: Go refuses
# it. Go reads and writes all of them. Objects and arrays, which examples and tests use, pass in both modes.
# Needs Node, npm, Go and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund cloudevents@10.0.0 >/dev/null
cat >go.mod <<'TXT'
module probe

go 1.24

require github.com/cloudevents/sdk-go/v2 v2.16.2
TXT
cat >main.go <<'GO'
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"github.com/cloudevents/sdk-go/v2/binding"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// Reads requests, one a line: {name, headers, body}.
func main() {
	requests := json.NewDecoder(os.Stdin)
	for requests.More() {
		var sent struct {
			Name, Body string
			Headers    map[string]string
		}
		if err := requests.Decode(&sent); err != nil {
			panic(err)
		}
		request, _ := http.NewRequest("POST", "http://example.com/", bytes.NewBufferString(sent.Body))
		for name, value := range sent.Headers {
			request.Header.Set(name, value)
		}
		event, err := binding.ToEvent(context.Background(), cehttp.NewMessageFromHttpRequest(request))
		var data any
		if err == nil {
			err = event.DataAs(&data)
		}
		if err != nil {
			fmt.Println(sent.Name+": Go: an error")
			continue
		}
		text, _ := json.Marshal(data)
		fmt.Printf("%s: Go: %s\n", sent.Name, text)
	}
}
GO
export GOFLAGS=-mod=mod
go build -o probe . 2>build.log || { cat build.log; exit 1; }
cat >events.mjs <<'JS'
import { writeFileSync } from "node:fs";
import { CloudEvent, HTTP } from "cloudevents";

const requests = [];
for (const mode of ["binary", "structured"]) {
  for (const data of [{ n: 0 }, [], "paid", "", 0, 12, false]) {
    const name = `${mode}, ${JSON.stringify(data)}`;
    const { headers, body } = HTTP[mode](new CloudEvent({ id: "1", type: "order", source: "/shop", datacontenttype: "application/json", data }));
    // What a server has: lower-case headers, and the body as it was on the wire.
    const sent = { headers: Object.fromEntries(Object.entries(headers).map(([key, value]) => [key, String(value)])), body: String(body) };
    requests.push(JSON.stringify({ name, ...sent }));
    let read;
    try {
      read = JSON.stringify(HTTP.toEvent(sent).data) ?? "undefined";
    } catch {
      read = "an error";
    }
    console.log(`${name}: JavaScript: ${read}`);
  }
}
const headers = { "content-type": "application/json", "ce-id": "1", "ce-type": "order", "ce-source": "/shop", "ce-specversion": "1.0" };
for (const body of ['"paid"', "12"]) console.log(`binary, ${body}, as Go writes it: JavaScript: ${JSON.stringify(HTTP.toEvent({ headers, body }).data)}`);
writeFileSync("requests", requests.join("\n"));
JS
{ node events.mjs; ./probe <requests; } | tee seen
cat >expected <<'TXT'
binary, {"n":0}: JavaScript: {"n":0}
binary, []: JavaScript: []
binary, "paid": JavaScript: "paid"
binary, "": JavaScript: ""
binary, 0: JavaScript: "0"
binary, 12: JavaScript: "12"
binary, false: JavaScript: "false"
structured, {"n":0}: JavaScript: {"n":0}
structured, []: JavaScript: []
structured, "paid": JavaScript: "paid"
structured, "": JavaScript: undefined
structured, 0: JavaScript: undefined
structured, 12: JavaScript: 12
structured, false: JavaScript: undefined
binary, "paid", as Go writes it: JavaScript: "paid"
binary, 12, as Go writes it: JavaScript: "12"
binary, {"n":0}: Go: {"n":0}
binary, []: Go: []
binary, "paid": Go: an error
binary, "": Go: null
binary, 0: Go: 0
binary, 12: Go: 12
binary, false: Go: false
structured, {"n":0}: Go: {"n":0}
structured, []: Go: []
structured, "paid": Go: "paid"
structured, "": Go: ""
structured, 0: Go: 0
structured, 12: Go: 12
structured, false: Go: false
TXT
diff expected seen
