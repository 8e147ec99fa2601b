// Client libraries in Go with the settings that docs/clients.md names for them, for tests. Arguments: the library, and the
// address of the relay. Each connection and each message is printed as a line of JSON.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"
)

const (
	topic     = "news"
	pause     = 300 * time.Millisecond
	mostBytes = 1 << 20
)

type position struct {
	Offset int    `json:"offset"`
	Epoch  string `json:"epoch"`
}

type frame struct {
	Topics map[string]struct {
		position
		Recovered bool `json:"recovered"`
	} `json:"topics"`
	Topic    string `json:"topic"`
	Data     string `json:"data"`
	TooLarge int    `json:"too_large"`
	position
}

var (
	library   = os.Args[1]
	relay     = os.Args[2]
	positions = map[string]position{}
)

func emit(name string, value any) {
	line, _ := json.Marshal(map[string]any{name: value})
	fmt.Println(string(line))
}

func register() (registration struct{ URL, SSE string }, err error) {
	body, _ := json.Marshal(map[string]any{"user_id": library, "topics": []string{topic}})
	answer, err := http.Post(relay+"/register", "application/json", bytes.NewReader(body))
	if err != nil {
		return registration, err
	}
	defer answer.Body.Close()
	return registration, json.NewDecoder(answer.Body).Decode(&registration)
}

func firstFrame() []byte {
	emit("connected", true)
	text, _ := json.Marshal(map[string]any{"topics": []string{topic}, "since": positions})
	return text
}

func onFrame(text []byte) {
	var got frame
	if json.Unmarshal(text, &got) != nil {
		return
	}
	for name, at := range got.Topics {
		if !at.Recovered {
			positions[name] = at.position
		}
	}
	if got.Topics == nil {
		positions[got.Topic] = got.position
		emit("data", dataOf(got))
	}
}

func dataOf(got frame) string {
	if got.TooLarge > 0 {
		return "too large"
	}
	return got.Data
}

// The data of an event with format=json.
func dataIn(envelope []byte) string {
	var got frame
	json.Unmarshal(envelope, &got)
	return dataOf(got)
}

func withGorilla(address string) {
	socket, _, err := gorilla.DefaultDialer.Dial(address, nil)
	if err != nil {
		return
	}
	defer socket.Close()
	socket.WriteMessage(gorilla.TextMessage, firstFrame())
	for {
		_, text, err := socket.ReadMessage()
		if err != nil {
			return
		}
		onFrame(text)
	}
}

func withCoder(address string) {
	readWithCoder(address, mostBytes)
}

// With its own limit of 32 KiB.
func withCoderAsItIs(address string) {
	readWithCoder(address+"&max_bytes=32768", 0)
}

func readWithCoder(address string, limit int64) {
	ctx := context.Background()
	socket, _, err := coder.Dial(ctx, address, nil)
	if err != nil {
		return
	}
	defer socket.CloseNow()
	if limit > 0 {
		socket.SetReadLimit(limit)
	}
	socket.Write(ctx, coder.MessageText, firstFrame())
	for {
		_, text, err := socket.Read(ctx)
		if err != nil {
			return
		}
		onFrame(text)
	}
}

// Subscribe returns nil when the stream has ended, which is not the end of the messages.
func withR3labs(address string) {
	client := r3labs.NewClient(address, r3labs.ClientMaxBufferSize(mostBytes))
	client.OnConnect(func(*r3labs.Client) { emit("connected", true) })
	for {
		client.SubscribeRaw(func(event *r3labs.Event) {
			if len(event.Data) > 0 {
				emit("data", string(event.Data))
			}
		})
		time.Sleep(pause)
	}
}

// With its own limit of 64 KiB for an event with all its lines.
func withR3labsAsItIs(address string) {
	client := r3labs.NewClient(address + "?format=json&max_bytes=65536")
	client.OnConnect(func(*r3labs.Client) { emit("connected", true) })
	for {
		client.SubscribeRaw(func(event *r3labs.Event) {
			if len(event.Data) > 0 {
				emit("data", dataIn(event.Data))
			}
		})
		time.Sleep(pause)
	}
}

func withTmaxmax(address string) {
	last := ""
	for {
		request, _ := http.NewRequest(http.MethodGet, address, nil)
		if last != "" {
			request.Header.Set("Last-Event-ID", last)
		}
		connection := tmaxmax.NewConnection(request)
		connection.Buffer(nil, mostBytes)
		emit("connected", true)
		connection.SubscribeToAll(func(event tmaxmax.Event) {
			last = event.LastEventID
			if event.Data != "" {
				emit("data", event.Data)
			}
		})
		connection.Connect()
		time.Sleep(pause)
	}
}

func main() {
	sockets := map[string]func(string){
		"gorilla/websocket":        withGorilla,
		"coder/websocket":          withCoder,
		"coder/websocket as it is": withCoderAsItIs,
	}
	streams := map[string]func(string){
		"r3labs/sse":          withR3labs,
		"r3labs/sse as it is": withR3labsAsItIs,
		"tmaxmax/go-sse":      withTmaxmax,
	}
	for {
		if registration, err := register(); err == nil {
			if listen, isStream := streams[library]; isStream {
				listen(registration.SSE)
			}
			sockets[library](registration.URL + "?format=json&heartbeat=2")
		}
		time.Sleep(pause)
	}
}
