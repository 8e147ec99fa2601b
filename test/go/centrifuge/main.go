// Clients of the official Go SDK, for tests, in JSON or in protobuf. It takes the same argument and calls, and prints the
// same events, as test/python/clients.py.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/centrifugal/centrifuge-go"
)

type fields map[string]any

type options struct {
	Address string
	Form    string
	Topics  []string
	Delta   bool
	Clients []struct {
		Token, Fresh string
		TopicTokens  map[string][]string
	}
}

type call struct {
	Client  int
	Call    string
	Topic   string
	Data    json.RawMessage
	Limit   int32
	Reverse bool
	Since   *centrifuge.StreamPosition
}

var output sync.Mutex

func emit(client int, event string, more fields) {
	line := fields{"client": client, "event": event}
	for name, value := range more {
		line[name] = value
	}
	text, _ := json.Marshal(line)
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(text))
}

func infoOf(info *centrifuge.ClientInfo) any {
	if info == nil {
		return nil
	}
	return fields{"user": info.User, "client": info.Client, "info": valueOf(info.ConnInfo), "topicInfo": valueOf(info.ChanInfo)}
}

func valueOf(payload []byte) any {
	if len(payload) == 0 {
		return nil
	}
	return json.RawMessage(payload)
}

func publicationOf(topic string, pub centrifuge.Publication) fields {
	return fields{"topic": topic, "data": json.RawMessage(pub.Data), "offset": pub.Offset, "info": infoOf(pub.Info), "tags": pub.Tags}
}

func newClient(number int, given options) *centrifuge.Client {
	own := given.Clients[number]
	config := centrifuge.Config{Token: own.Token, MinReconnectDelay: 10 * time.Millisecond, MaxReconnectDelay: 50 * time.Millisecond}
	if own.Fresh != "" {
		config.GetToken = func(centrifuge.ConnectionTokenEvent) (string, error) {
			emit(number, "token_requested", nil)
			return own.Fresh, nil
		}
	}
	make := centrifuge.NewJsonClient
	if given.Form == "protobuf" {
		make = centrifuge.NewProtobufClient
	}
	client := make(given.Address, config)
	client.OnConnecting(func(e centrifuge.ConnectingEvent) { emit(number, "connecting", fields{"code": e.Code}) })
	client.OnConnected(func(e centrifuge.ConnectedEvent) { emit(number, "connected", fields{"id": e.ClientID}) })
	client.OnDisconnected(func(e centrifuge.DisconnectedEvent) {
		emit(number, "disconnected", fields{"code": e.Code, "reason": e.Reason})
	})
	client.OnSubscribed(func(e centrifuge.ServerSubscribedEvent) {
		emit(number, "subscribed", fields{"topic": e.Channel, "wasRecovering": e.WasRecovering, "recovered": e.Recovered})
	})
	client.OnUnsubscribed(func(e centrifuge.ServerUnsubscribedEvent) {
		emit(number, "unsubscribed", fields{"topic": e.Channel, "code": 0})
	})
	client.OnPublication(func(e centrifuge.ServerPublicationEvent) {
		emit(number, "publication", publicationOf(e.Channel, e.Publication))
	})
	return client
}

func subscribe(number int, client *centrifuge.Client, topic string, given options) error {
	config := centrifuge.SubscriptionConfig{
		Recoverable: true, JoinLeave: true,
		MinResubscribeDelay: 10 * time.Millisecond, MaxResubscribeDelay: 50 * time.Millisecond,
	}
	if given.Delta {
		config.Delta = centrifuge.DeltaTypeFossil
	}
	// Handed out one by one, and the last one from then on.
	if tokens := given.Clients[number].TopicTokens[topic]; len(tokens) > 0 {
		config.GetToken = func(centrifuge.SubscriptionTokenEvent) (string, error) {
			emit(number, "topic_token_requested", fields{"topic": topic})
			token := tokens[0]
			if len(tokens) > 1 {
				tokens = tokens[1:]
			}
			return token, nil
		}
	}
	sub, err := client.NewSubscription(topic, config)
	if err != nil {
		return err
	}
	sub.OnSubscribed(func(e centrifuge.SubscribedEvent) {
		emit(number, "subscribed", fields{"topic": topic, "wasRecovering": e.WasRecovering, "recovered": e.Recovered})
	})
	sub.OnUnsubscribed(func(e centrifuge.UnsubscribedEvent) {
		emit(number, "unsubscribed", fields{"topic": topic, "code": e.Code})
	})
	sub.OnPublication(func(e centrifuge.PublicationEvent) {
		emit(number, "publication", publicationOf(topic, e.Publication))
	})
	sub.OnJoin(func(e centrifuge.JoinEvent) {
		emit(number, "join", fields{"topic": topic, "info": infoOf(&e.ClientInfo)})
	})
	sub.OnLeave(func(e centrifuge.LeaveEvent) {
		emit(number, "leave", fields{"topic": topic, "info": infoOf(&e.ClientInfo)})
	})
	return sub.Subscribe()
}

func answer(client *centrifuge.Client, c call) (any, error) {
	ctx := context.Background()
	switch c.Call {
	case "publish":
		_, err := client.Publish(ctx, c.Topic, c.Data)
		return fields{}, err
	case "history":
		page, err := client.History(ctx, c.Topic, centrifuge.WithHistoryLimit(c.Limit),
			centrifuge.WithHistorySince(c.Since), centrifuge.WithHistoryReverse(c.Reverse))
		data := []json.RawMessage{}
		for _, pub := range page.Publications {
			data = append(data, pub.Data)
		}
		return fields{"offset": page.Offset, "epoch": page.Epoch, "data": data}, err
	case "presence":
		result, err := client.Presence(ctx, c.Topic)
		infos := []any{}
		for _, info := range result.Clients {
			infos = append(infos, infoOf(&info))
		}
		return infos, err
	case "presence_stats":
		stats, err := client.PresenceStats(ctx, c.Topic)
		return fields{"clients": stats.NumClients, "users": stats.NumUsers}, err
	case "rpc":
		result, err := client.RPC(ctx, c.Topic, c.Data)
		return json.RawMessage(result.Data), err
	case "subscribe", "unsubscribe":
		sub, _ := client.GetSubscription(c.Topic)
		if c.Call == "subscribe" {
			return nil, sub.Subscribe()
		}
		return nil, sub.Unsubscribe()
	case "disconnect":
		return nil, client.Disconnect()
	}
	return nil, errors.New(c.Call)
}

func main() {
	var given options
	if err := json.Unmarshal([]byte(os.Args[1]), &given); err != nil {
		panic(err)
	}
	clients := []*centrifuge.Client{}
	for number := range given.Clients {
		client := newClient(number, given)
		clients = append(clients, client)
		for _, topic := range given.Topics {
			if err := subscribe(number, client, topic, given); err != nil {
				panic(err)
			}
		}
		if err := client.Connect(); err != nil {
			panic(err)
		}
	}
	calls := bufio.NewScanner(os.Stdin)
	calls.Buffer(nil, 1<<20)
	for calls.Scan() {
		var c call
		if err := json.Unmarshal(calls.Bytes(), &c); err != nil {
			panic(err)
		}
		value, err := answer(clients[c.Client], c)
		var refused *centrifuge.Error
		if errors.As(err, &refused) {
			emit(c.Client, "answer", fields{"code": refused.Code, "message": refused.Message})
		} else if err != nil {
			emit(c.Client, "answer", fields{"code": -1, "message": err.Error()})
		} else {
			emit(c.Client, "answer", fields{"value": value})
		}
	}
}
