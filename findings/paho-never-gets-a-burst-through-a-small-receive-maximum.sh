#!/usr/bin/env bash
# paho-mqtt 2.1.0 (PyPI) and mqtt 5.16.0 (npm), MQTT 5, QoS 1; github.com/eclipse/paho.golang 0.23.0 (Go) next to them. The broker is HiveMQ CE
# 2025.5 (Maven, embedded) with its defaults; it says Receive Maximum 10 when a client connects.
# Guess: a client keeps to the number of unacknowledged messages that the broker has said; 30 messages published in a row go through ten at a time.
# Seen: paho-mqtt sends 20 at once whatever was said (its max_inflight_messages). The broker ends the connection with 0x93, "Receive Maximum exceeded";
# the client connects again, begins with the same 20, and is cut again, once a second: eight times in 8 s when seen, with 1 of the 30
# acknowledged. publish() has said success for all. aiomqtt and others rest on it. mqtt for Node is cut once for such a burst, and gets it through when
# it is back. max_inflight_messages_set(10), or less, makes paho-mqtt work. paho.golang keeps to the number.
# Needs Node, npm, Java 17, Maven, Go, python3 with venv and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; broker=
trap 'kill $broker 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund mqtt@5.16.0 >/dev/null
python3 -m venv venv
venv/bin/pip install -q paho-mqtt==2.1.0
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>a</groupId><artifactId>a</artifactId><version>1</version><dependencies>
<dependency><groupId>com.hivemq</groupId><artifactId>hivemq-community-edition-embedded</artifactId><version>2025.5</version></dependency>
</dependencies></project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1
cat >Broker.java <<'JAVA'
import com.hivemq.embedded.EmbeddedHiveMQ;
import java.nio.file.Files;
import java.nio.file.Path;

public class Broker {
    public static void main(String[] args) throws Exception {
        Path conf = Files.createDirectory(Path.of("conf"));
        Files.writeString(conf.resolve("config.xml"), "<?xml version=\"1.0\"?><hivemq><listeners><tcp-listener><port>" + args[0]
            + "</port><bind-address>127.0.0.1</bind-address></tcp-listener></listeners>"
            + "<anonymous-usage-statistics><enabled>false</enabled></anonymous-usage-statistics></hivemq>");
        EmbeddedHiveMQ.builder().withConfigurationFolder(conf).withDataFolder(Files.createDirectory(Path.of("data")))
            .withExtensionsFolder(Files.createDirectory(Path.of("extensions"))).build().start().join();
        System.out.println("ready");
        Thread.sleep(Long.MAX_VALUE);
    }
}
JAVA
javac -cp 'lib/*' Broker.java
cat >burst.py <<'PY'
import sys, time
import paho.mqtt.client as mqtt

port = int(sys.argv[1])
for limit in (None, 10):
    arrived, cuts = set(), []
    reader = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    reader.on_message = lambda client, data, message: arrived.add(int(message.payload))
    reader.connect("127.0.0.1", port)
    reader.subscribe(f"jobs/{limit}", 1)
    reader.loop_start()
    writer = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    writer.on_disconnect = lambda client, data, flags, reason, properties: cuts.append(str(reason))
    if limit:
        writer.max_inflight_messages_set(limit)
    writer.connect("127.0.0.1", port)
    writer.loop_start()
    time.sleep(1)
    results = {writer.publish(f"jobs/{limit}", str(n), qos=1).rc for n in range(30)}
    time.sleep(10)
    print(f"paho-mqtt, {f'{limit} in flight' if limit else 'defaults'}: publish() says {results}, "
          f"{'all 30' if len(arrived) == 30 else 'not all'} arrived in 10 s, {'cut again and again' if len(cuts) > 3 else f'cut {len(cuts)} times'} {set(cuts) or ''}")
    writer.loop_stop()
    reader.loop_stop()
PY
cat >burst.mjs <<'JS'
import mqtt from "mqtt";

const url = `mqtt://127.0.0.1:${process.argv[2]}`;
const [reader, writer] = await Promise.all([mqtt.connectAsync(url, { protocolVersion: 5 }), mqtt.connectAsync(url, { protocolVersion: 5, reconnectPeriod: 500 })]);
const arrived = new Set();
let cuts = 0;
reader.on("message", (topic, message) => arrived.add(Number(message)));
await reader.subscribeAsync("node", { qos: 1 });
writer.on("disconnect", () => cuts++);
for (let n = 0; n < 30; n++) writer.publish("node", String(n), { qos: 1 });
await new Promise((resolve) => setTimeout(resolve, 10000));
console.log(`mqtt (npm): ${arrived.size === 30 ? "all 30" : "not all"} arrived in 10 s, cut ${cuts} times`);
process.exit(0);
JS
cat >go.mod <<'TXT'
module probe

go 1.25

require github.com/eclipse/paho.golang v0.23.0
TXT
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
)

func main() {
	server, _ := url.Parse("mqtt://127.0.0.1:" + os.Args[1])
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var connections, acknowledged atomic.Int64
	writer, err := autopaho.NewConnection(ctx, autopaho.ClientConfig{
		ServerUrls: []*url.URL{server}, KeepAlive: 20, ClientConfig: paho.ClientConfig{ClientID: "go"},
		OnConnectionUp: func(*autopaho.ConnectionManager, *paho.Connack) { connections.Add(1) },
	})
	if err != nil {
		panic(err)
	}
	writer.AwaitConnection(ctx)
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			if _, err := writer.Publish(ctx, &paho.Publish{Topic: "go", QoS: 1, Payload: []byte("job")}); err == nil {
				acknowledged.Add(1)
			}
		})
	}
	all.Wait()
	fmt.Printf("paho.golang: %d acknowledged, cut %d times\n", acknowledged.Load(), connections.Load()-1)
}
GO
export GOFLAGS=-mod=mod
go build -o probe . 2>build.log || { cat build.log; exit 1; }
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
java -Xmx512m --add-opens java.base/java.lang=ALL-UNNAMED --add-opens java.base/java.nio=ALL-UNNAMED --add-opens java.base/sun.nio.ch=ALL-UNNAMED \
  --add-opens jdk.management/com.sun.management.internal=ALL-UNNAMED --add-exports java.base/jdk.internal.misc=ALL-UNNAMED \
  -cp 'lib/*:.' Broker "$port" >log 2>&1 & broker=$!
for _ in {1..600}; do grep -q '^ready' log && break; sleep 0.1; done
{
  timeout 60 venv/bin/python burst.py "$port"
  timeout 60 node burst.mjs "$port"
  timeout 60 ./probe "$port"
} | tee seen
cat >expected <<'TXT'
paho-mqtt, defaults: publish() says {<MQTTErrorCode.MQTT_ERR_SUCCESS: 0>}, not all arrived in 10 s, cut again and again {'Receive maximum exceeded'}
paho-mqtt, 10 in flight: publish() says {<MQTTErrorCode.MQTT_ERR_SUCCESS: 0>}, all 30 arrived in 10 s, cut 0 times 
mqtt (npm): all 30 arrived in 10 s, cut 1 times
paho.golang: 30 acknowledged, cut 0 times
TXT
diff expected seen
