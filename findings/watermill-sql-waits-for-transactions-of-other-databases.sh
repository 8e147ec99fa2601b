#!/usr/bin/env bash
# github.com/ThreeDotsLabs/watermill-sql/v4 4.1.2 (Go, with pgx 5.13.0), its PostgreSQL subscriber with the default schema; Debian's PostgreSQL (15 when seen).
# Guess: a message that was published and committed is delivered with the next poll, whatever else goes on in the server: a transaction of
# another program, on another table, let alone in another database, has nothing to do with it.
# Seen: a message is delivered only when every transaction of the whole server that began to write before it has ended: so numbers
# that are committed late are not skipped. A migration that runs for an hour, a batch job, a session left "idle in transaction" or a prepared transaction, in any database of
# the server, stops delivery of all topics for as long, without an error; a SELECT shows the rows. Transactions that only read do no harm.
# Needs Go, PostgreSQL (as root also runuser and the user postgres), python3 and the Go proxy. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); chmod 755 "$dir"; cd "$dir"; server=
trap 'kill $server 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
cat >go.mod <<'TXT'
module probe

go 1.25

require (
	github.com/ThreeDotsLabs/watermill v1.5.1
	github.com/ThreeDotsLabs/watermill-sql/v4 v4.1.2
	github.com/jackc/pgx/v5 v5.13.0
)
TXT
cat >main.go <<'GO'
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	outbox "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	_ "github.com/jackc/pgx/v5/stdlib"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func open(database string) *sql.DB {
	return must(sql.Open("pgx", fmt.Sprintf("postgres://postgres@127.0.0.1:%s/%s?sslmode=disable", os.Args[1], database)))
}

func main() {
	shop := open("postgres")
	must(shop.Exec("CREATE DATABASE reports"))
	reports := open("reports")
	must(reports.Exec("CREATE TABLE lines (n int)"))
	subscriber := must(outbox.NewSubscriber(outbox.BeginnerFromStdSQL(shop), outbox.SubscriberConfig{
		SchemaAdapter: outbox.DefaultPostgreSQLSchema{}, OffsetsAdapter: outbox.DefaultPostgreSQLOffsetsAdapter{},
		InitializeSchema: true, PollInterval: 100 * time.Millisecond,
	}, watermill.NopLogger{}))
	publisher := must(outbox.NewPublisher(outbox.BeginnerFromStdSQL(shop), outbox.PublisherConfig{
		SchemaAdapter: outbox.DefaultPostgreSQLSchema{}, AutoInitializeSchema: true,
	}, watermill.NopLogger{}))
	messages := must(subscriber.Subscribe(context.Background(), "orders"))
	arrived := func(limit time.Duration) string {
		select {
		case one := <-messages:
			one.Ack()
			return "delivered"
		case <-time.After(limit):
			return fmt.Sprintf("not delivered in %v", limit)
		}
	}
	publish := func() {
		if err := publisher.Publish("orders", message.NewMessage(watermill.NewUUID(), []byte(`"paid"`))); err != nil {
			panic(err)
		}
	}
	publish()
	fmt.Println("nothing else is open:", arrived(5*time.Second))
	reading := must(reports.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}))
	var count int
	if err := reading.QueryRow("SELECT count(*) FROM lines").Scan(&count); err != nil {
		panic(err)
	}
	publish()
	fmt.Println("a transaction that reads is open in another database:", arrived(5*time.Second))
	reading.Rollback()
	writing := must(reports.Begin())
	must(writing.Exec("INSERT INTO lines VALUES (1)"))
	publish()
	seen := arrived(5 * time.Second)
	if err := shop.QueryRow(`SELECT count(*) FROM watermill_orders`).Scan(&count); err != nil {
		panic(err)
	}
	fmt.Printf("one that has written is open there: %s, rows that a SELECT sees: %d\n", seen, count)
	writing.Rollback()
	fmt.Println("it has been rolled back:", arrived(5*time.Second))
}
GO
export GOFLAGS=-mod=mod
go build -o probe . 2>build.log || { cat build.log; exit 1; }
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
as=()
if [ "$(id -u)" = 0 ]; then as=(runuser -u postgres --); fi
mkdir data; if [ "$(id -u)" = 0 ]; then chown postgres data; fi
"${as[@]}" "$bin/initdb" -D data -U postgres -A trust >/dev/null
"${as[@]}" "$bin/postgres" -D data -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c autovacuum=off >log 2>&1 & server=$!
for _ in {1..100}; do grep -q 'ready to accept' log && break; sleep 0.1; done
timeout 60 ./probe "$port" | tee seen
cat >expected <<'TXT'
nothing else is open: delivered
a transaction that reads is open in another database: delivered
one that has written is open there: not delivered in 5s, rows that a SELECT sees: 3
it has been rolled back: delivered
TXT
diff expected seen
