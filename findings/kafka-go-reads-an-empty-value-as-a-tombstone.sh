#!/usr/bin/env bash
# github.com/segmentio/kafka-go 0.4.51 (Go), its Reader; github.com/twmb/franz-go 1.22.3 (Go) and kafka-python 3.0.12 (PyPI) next to it. The records are
# from confluent-kafka 2.16.1 (PyPI), the broker is Apache Kafka 4.4.0 (Maven).
# Guess: a record with an empty value and one without a value are different things, and stay so: in a compacted topic the first says "the value is empty now", and the
# second, a tombstone, "this key is gone". The broker keeps them apart (a length of 0 and one of -1), and compaction removes only the second.
# Seen: kafka-go hands out nil for both, and nil for an empty key and an empty header too. A program that builds a table from a topic, and takes nil for "delete this
# key" as it must, deletes a key whose value was made empty; one that copies records from topic to topic makes tombstones of them, so that
# compaction then removes them from the copy. (Its Writer keeps them apart, so a test that writes with it and reads with another client passes.)
# Needs Go, Java 17, Maven, Node, python3 with venv and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; broker=
trap 'kill $broker 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
python3 -m venv venv
venv/bin/pip install -q confluent-kafka==2.16.1 kafka-python==3.0.12
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
TXT
java -cp 'lib/*' kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAA -c server.properties >/dev/null 2>&1
java -Xms256m -Xmx512m -XX:+UseSerialGC -cp 'lib/*' kafka.Kafka server.properties >log 2>&1 & broker=$!
cat >produce.py <<'PY'
import sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": f"127.0.0.1:{sys.argv[1]}", "log_level": 0})
for key, value in ((b"text", b"hello"), (b"empty", b""), (b"gone", None), (b"", b"no key")):
    producer.produce("table", value, key)
    producer.flush()
PY
cat >read.py <<'PY'
import sys
from kafka import KafkaConsumer
def show(part):
    return "null" if part is None else f'"{part.decode()}"'
seen = []
for record in KafkaConsumer("table", bootstrap_servers=f"127.0.0.1:{sys.argv[1]}", auto_offset_reset="earliest"):
    seen.append(f"{show(record.key)}={show(record.value)}")
    if len(seen) == 4:
        break
print("kafka-python:", " ".join(seen))
PY
mkdir go
cat >go/main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"

	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

func show(key, value []byte) string {
	text := func(part []byte) string {
		if part == nil {
			return "null"
		}
		return fmt.Sprintf("%q", part)
	}
	return " " + text(key) + "=" + text(value)
}

func main() {
	address, ctx, seen := "127.0.0.1:"+os.Args[2], context.Background(), os.Args[1]+":"
	if os.Args[1] == "kafka-go" {
		reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{address}, Topic: "table", MinBytes: 1, MaxBytes: 1e6})
		for range 4 {
			record, err := reader.ReadMessage(ctx)
			if err != nil {
				panic(err)
			}
			seen += show(record.Key, record.Value)
		}
	} else {
		client, _ := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics("table"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		for count := 0; count < 4; {
			client.PollFetches(ctx).EachRecord(func(record *kgo.Record) {
				count++
				seen += show(record.Key, record.Value)
			})
		}
	}
	fmt.Println(seen)
}
GO
cd go
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
go mod init probe 2>/dev/null
go get github.com/segmentio/kafka-go@v0.4.51 github.com/twmb/franz-go@v1.22.3 2>/dev/null
go build -o ../read-go . 2>build.log || { cat build.log; exit 1; }
cd ..
for _ in {1..600}; do (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
timeout 60 venv/bin/python produce.py "$port" 2>/dev/null
{
  timeout 30 ./read-go kafka-go "$port"
  timeout 30 ./read-go franz-go "$port"
  timeout 30 venv/bin/python read.py "$port" 2>/dev/null
} | tee seen
cat >expected <<'TXT'
kafka-go: "text"="hello" "empty"=null "gone"=null null="no key"
franz-go: "text"="hello" "empty"="" "gone"=null ""="no key"
kafka-python: "text"="hello" "empty"="" "gone"=null ""="no key"
TXT
diff expected seen
