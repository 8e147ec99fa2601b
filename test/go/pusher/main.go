// A backend with the Pusher library for Go, for tests. It takes the arguments of test/python/pusher_backend.py, makes the same calls
// and prints the same lines.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"

	pusher "github.com/pusher/pusher-http-go/v5"
)

func run(name string, call func() (any, error)) {
	outcome, err := call()
	if err != nil {
		outcome = err.Error()
	}
	line, _ := json.Marshal([]any{name, outcome})
	fmt.Println(string(line))
}

func main() {
	host, port, app, key, secret := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	client := func(secret string) *pusher.Client {
		return &pusher.Client{AppID: app, Key: key, Secret: secret, Host: host + ":" + port}
	}
	p := client(secret)
	count := "subscription_count"
	news, nobody := "news", "nobody-"
	many := []string{}
	for i := 0; i < 100; i++ {
		many = append(many, fmt.Sprintf("many-%d", i))
	}
	batch := []pusher.Event{}
	for i := 0; i < 10; i++ {
		batch = append(batch, pusher.Event{Channel: "batch", Name: fmt.Sprintf("e%d", i), Data: fmt.Sprint(i)})
	}
	done := func(err error) (any, error) { return nil, err }

	run("trigger", func() (any, error) { return done(p.Trigger("news", "order", map[string]string{"t": "é<&>/💥"})) })
	run("text", func() (any, error) { return done(p.Trigger("news", "order", "hi")) })
	run("many", func() (any, error) { return done(p.TriggerMulti(many, "e", "m")) })
	run("batch", func() (any, error) { return p.TriggerBatch(batch) })
	run("except", func() (any, error) { return done(p.TriggerExclusive("news", "e", "m", "123.456")) })
	run("user", func() (any, error) { return done(p.SendToUser("42", "e", "m")) })
	run("channels", func() (any, error) { return p.Channels(pusher.ChannelsParams{FilterByPrefix: &news, Info: &count}) })
	run("nobody", func() (any, error) { return p.Channels(pusher.ChannelsParams{FilterByPrefix: &nobody}) })
	run("channel", func() (any, error) { return p.Channel("news", pusher.ChannelParams{Info: &count}) })
	run("users", func() (any, error) { return p.GetChannelUsers("presence-room") })
	run("users of a public channel", func() (any, error) { return p.GetChannelUsers("news") })
	socket := "socket_id=" + os.Getenv("SOCKET_ID")
	info := map[string]string{"name": "é<"}
	signed := func(answer []byte, err error) (any, error) { return json.RawMessage(answer), err }
	run("private", func() (any, error) {
		return signed(p.AuthorizePrivateChannel([]byte(socket + "&channel_name=private-x")))
	})
	run("presence", func() (any, error) {
		member := pusher.MemberData{UserID: "7", UserInfo: info}
		return signed(p.AuthorizePresenceChannel([]byte(socket+"&channel_name=presence-x"), member))
	})
	run("sign in", func() (any, error) {
		return signed(p.AuthenticateUser([]byte(socket), map[string]any{"id": "7", "user_info": info}))
	})
	run("webhook", func() (any, error) {
		header := http.Header{"X-Pusher-Key": {key}, "X-Pusher-Signature": {os.Getenv("WEBHOOK_SIGNATURE")}}
		webhook, err := p.Webhook(header, []byte(os.Getenv("WEBHOOK_BODY")))
		if err != nil {
			return nil, err
		}
		return webhook.Events[0].Name, nil
	})
	run("a wrong secret", func() (any, error) { return done(client("wrong").Trigger("news", "e", "m")) })
	run("a long name", func() (any, error) { return done(p.Trigger("news", strings.Repeat("x", 201), "m")) })
}
