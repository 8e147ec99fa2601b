#!/usr/bin/env bash
# python-qpid-proton 0.40.0 (PyPI), a receiver with default settings, which reconnect; rhea 3.0.5 (npm) next to it. Apache ActiveMQ Artemis 2.40.0 (Maven).
# Guess: a client that comes back after the broker was killed comes back after an orderly restart too, which is the usual one: a deploy, an update.
# Seen: after kill -9 Proton is back in seconds. A broker that is stopped in an orderly way says so, it closes the connection with amqp:connection:forced; Proton
# answers with a close of its own and takes the connection for one that the program has closed: it does not reconnect, ever. All the program hears is
# on_disconnected, as in the case where it does come back; on_connection_error, on_connection_closed and on_transport_error are not called, run() goes on,
# and the receiver gets nothing any more. rhea comes back in both cases.
# Needs Node, npm, python3 with venv, Java 17, Maven and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; broker=
trap 'kill -9 $broker 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund rhea@3.0.5 >/dev/null
python3 -m venv venv
venv/bin/pip install -q python-qpid-proton==0.40.0
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>a</groupId><artifactId>a</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.activemq</groupId><artifactId>artemis-server</artifactId><version>2.40.0</version></dependency>
<dependency><groupId>org.apache.activemq</groupId><artifactId>artemis-amqp-protocol</artifactId><version>2.40.0</version></dependency>
</dependencies></project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1
cat >Broker.java <<'JAVA'
import org.apache.activemq.artemis.api.core.RoutingType;
import org.apache.activemq.artemis.core.config.impl.ConfigurationImpl;
import org.apache.activemq.artemis.core.server.JournalType;
import org.apache.activemq.artemis.core.server.embedded.EmbeddedActiveMQ;
import org.apache.activemq.artemis.core.settings.impl.AddressSettings;

class Broker {
    public static void main(String[] arguments) throws Exception {
        var configuration = new ConfigurationImpl();
        configuration.setSecurityEnabled(false).setJournalType(JournalType.NIO).setJournalDirectory("data/journal")
            .setBindingsDirectory("data/bindings").setLargeMessagesDirectory("data/large").setPagingDirectory("data/paging");
        configuration.addAcceptorConfiguration("amqp", "tcp://127.0.0.1:" + arguments[0] + "?protocols=AMQP");
        configuration.addAddressSetting("#", new AddressSettings().setAutoDeleteQueues(false).setAutoDeleteAddresses(false)
            .setDefaultAddressRoutingType(RoutingType.ANYCAST).setDefaultQueueRoutingType(RoutingType.ANYCAST));
        var broker = new EmbeddedActiveMQ();
        broker.setConfiguration(configuration);
        broker.start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> { try { broker.stop(); } catch (Exception ignored) { } }));
        System.out.println("ready");
        Thread.sleep(Long.MAX_VALUE);
    }
}
JAVA
javac -cp 'lib/*' Broker.java
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
start() {
  java -Xmx300m -XX:+UseSerialGC -cp 'lib/*:.' Broker "$port" >log 2>&1 & broker=$!
  for _ in $(seq 300); do if grep -q ready log; then return; fi; sleep 0.1; done
  cat log; exit 1
}
cat >receive.mjs <<'JS'
import rhea from "rhea";
const container = rhea.create_container();
container.connect({ host: "127.0.0.1", port: Number(process.argv[2]) }).open_receiver(process.argv[3]);
container.on("message", ({ message }) => console.log(message.body));
JS
cat >receive.py <<'PY'
import sys
from proton.handlers import MessagingHandler
from proton.reactor import Container

class Receive(MessagingHandler):
    def on_start(self, event):
        event.container.create_receiver(f"127.0.0.1:{sys.argv[1]}/{sys.argv[2]}")

    def on_message(self, event):
        print(event.message.body, flush=True)

    def say(self, event):
        print("ERROR", event, flush=True)

    on_connection_error = on_connection_closed = on_link_error = on_link_closed = on_session_error = on_session_closed = say

Container(Receive()).run()
PY
cat >send.py <<'PY'
import sys
from proton import Message
from proton.utils import BlockingConnection
connection = BlockingConnection(f"127.0.0.1:{sys.argv[1]}")
for queue in ("rhea", "proton"):
    connection.create_sender(queue).send(Message(body=sys.argv[2], durable=True))
connection.close()
PY
for signal in KILL TERM; do
  rm -rf data
  start
  timeout 60 node receive.mjs "$port" rhea >rhea.out 2>/dev/null & one=$!
  timeout 60 venv/bin/python receive.py "$port" proton >proton.out 2>/dev/null & two=$!
  sleep 2.5; venv/bin/python send.py "$port" before; sleep 0.5
  kill -$signal $broker; wait $broker 2>/dev/null || true; sleep 1
  start
  venv/bin/python send.py "$port" after
  sleep 15
  for client in rhea proton; do echo "$signal, $client: $(paste -sd ' ' $client.out)"; done
  kill -0 $two && echo "$signal: proton's program still runs"
  kill $one $two; wait $one $two 2>/dev/null || true
  kill -9 $broker; wait $broker 2>/dev/null || true
done | tee seen
cat >expected <<'TXT'
KILL, rhea: before after
KILL, proton: before after
KILL: proton's program still runs
TERM, rhea: before after
TERM, proton: before
TERM: proton's program still runs
TXT
diff expected seen
