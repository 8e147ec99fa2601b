#!/usr/bin/env bash
# @platformatic/kafka 2.12.1 (npm, under Bun 1.4.4) and github.com/segmentio/kafka-go 0.4.51 (Go), reading committed records only (the
# former's default); kafkajs 2.2.4 (npm) and github.com/twmb/franz-go 1.22.3 (Go) next to them. Apache Kafka 4.4.0 (Maven), one partition.
# Guess: records of an aborted transaction are never handed out: with that setting the broker names the aborted transactions in each answer, and the
# client leaves their records out.
# Seen: kafka-go hands out all of them, whatever the setting is, and the markers that end transactions too, as messages with values of a few
# bytes. @platformatic/kafka leaves out only the last one of each producer in an answer: of two aborted transactions of one
# producer that are fetched together, the first is handed out as if it had been committed. Tests with one aborted transaction pass.
# Needs Node, npm, Go, Java 17, Maven and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; broker=
trap 'kill $broker 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @platformatic/kafka@2.12.1 kafkajs@2.2.4 bun@1.4.4 >/dev/null
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>a</groupId><artifactId>a</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.4.0</version></dependency>
</dependencies></project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1
read -r port control <<<"$(node -e '
const net = require("node:net"); const servers = [0, 0].map(() => net.createServer().listen(0, "127.0.0.1"));
setTimeout(() => { console.log(...servers.map((server) => server.address().port)); servers.map((server) => server.close()); }, 50);')"
cat >server.properties <<TXT
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$control
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$control
controller.listener.names=CONTROLLER
log.dirs=$dir/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
TXT
java -cp 'lib/*' kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAA -c server.properties >/dev/null 2>&1
java -Xms256m -Xmx512m -XX:+UseSerialGC -cp 'lib/*' kafka.Kafka server.properties >log 2>&1 & broker=$!
cat >produce.mjs <<'JS'
import { Kafka, logLevel } from "kafkajs";
const kafka = new Kafka({ brokers: [`127.0.0.1:${process.argv[2]}`], logLevel: logLevel.NOTHING, retry: { retries: 15 } });
const admin = kafka.admin();
await admin.connect();
await admin.createTopics({ topics: [{ topic: "orders", numPartitions: 1, replicationFactor: 1 }] });
await admin.disconnect();
const producer = kafka.producer({ transactionalId: "shop", idempotent: true, maxInFlightRequests: 1 });
await producer.connect();
for (const value of ["paid-1", "aborted-1", "paid-2", "aborted-2", "paid-3"]) {
  const transaction = await producer.transaction();
  await transaction.send({ topic: "orders", messages: [{ value }] });
  await (value.startsWith("paid") ? transaction.commit() : transaction.abort());
}
await producer.disconnect();
JS
cat >read.mjs <<'JS'
import { Consumer, stringDeserializers } from "@platformatic/kafka";
import { Kafka, logLevel } from "kafkajs";
const [, , port, library] = process.argv;
const seen = [];
if (library === "kafkajs") {
  const consumer = new Kafka({ brokers: [`127.0.0.1:${port}`], logLevel: logLevel.NOTHING }).consumer({ groupId: "one" });
  await consumer.connect();
  await consumer.subscribe({ topics: ["orders"], fromBeginning: true });
  await consumer.run({ eachMessage: async ({ message }) => void seen.push(message.value.toString()) });
} else {
  const consumer = new Consumer({
    groupId: "two", clientId: "two", bootstrapBrokers: [`127.0.0.1:${port}`], deserializers: stringDeserializers, autocommit: false,
  });
  const stream = await consumer.consume({ topics: ["orders"], mode: "earliest" });
  stream.on("data", (message) => seen.push(message.value));
}
while (!seen.includes("paid-3")) await new Promise((resolve) => setTimeout(resolve, 100));
console.log(`${library}: ${seen.join(" ")}`);
process.exit(0);
JS
cat >go.mod <<'TXT'
module probe

go 1.24

require (
	github.com/segmentio/kafka-go v0.4.51
	github.com/twmb/franz-go v1.22.3
)
TXT
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

// show prints the values; a marker that ends a transaction has a value of bytes that are no text.
func show(name string, values []string) {
	for n, value := range values {
		if strings.ContainsRune(value, 0) {
			values[n] = "(marker)"
		}
	}
	fmt.Println(name+":", strings.Join(values, " "))
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: os.Args[1:], Topic: "orders", IsolationLevel: kafka.ReadCommitted})
	var values []string
	for !slices.Contains(values, "paid-3") {
		message, err := reader.ReadMessage(ctx)
		if err != nil {
			panic(err)
		}
		values = append(values, string(message.Value))
	}
	show("kafka-go", values)
	client, err := kgo.NewClient(kgo.SeedBrokers(os.Args[1:]...), kgo.ConsumeTopics("orders"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		panic(err)
	}
	for values = nil; !slices.Contains(values, "paid-3"); {
		client.PollFetches(ctx).EachRecord(func(record *kgo.Record) { values = append(values, string(record.Value)) })
	}
	show("franz-go", values)
}
GO
export GOFLAGS=-mod=mod
go build -o probe . 2>build.log || { cat build.log; exit 1; }
timeout 60 node produce.mjs "$port" 2>/dev/null
{
  timeout 60 node_modules/.bin/bun read.mjs "$port" kafkajs 2>/dev/null
  timeout 60 node_modules/.bin/bun read.mjs "$port" @platformatic/kafka
  timeout 60 ./probe "127.0.0.1:$port"
} | tee seen
cat >expected <<'TXT'
kafkajs: paid-1 paid-2 paid-3
@platformatic/kafka: paid-1 aborted-1 paid-2 paid-3
kafka-go: paid-1 (marker) aborted-1 (marker) paid-2 (marker) aborted-2 (marker) paid-3
franz-go: paid-1 paid-2 paid-3
TXT
diff expected seen
