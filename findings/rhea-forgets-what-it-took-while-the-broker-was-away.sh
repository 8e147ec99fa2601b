#!/usr/bin/env bash
# rhea 3.0.5 (npm), the AMQP 1.0 client, default settings; python-qpid-proton 0.40.0 (PyPI) next to it. Apache ActiveMQ Artemis 2.40.0 (Maven), a durable queue.
# Guess: a message that send() takes is sent, and where it cannot be, the program hears of it: each delivery ends in accepted, released, rejected or modified.
# send() may be called without credit, and while the client reconnects by itself (as it does by default): the message is kept until there is credit.
# Seen: it is kept until the connection is back, and then forgotten. What send() took while the broker was away is not sent and has no event, ever: a program that
# waits for "accepted" waits for good, and one that sends again after "released" sends nothing. The sender itself is well, the next message arrives. Asking sendable()
# first does not help at once: in the handler of "disconnected" it still says true. Proton, with the same sends at the same moments, delivers each of them.
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
cat >probe.mjs <<'JS'
import rhea from "rhea";
const container = rhea.create_container();
const connection = container.connect({ host: "127.0.0.1", port: Number(process.argv[2]) });
const sender = connection.open_sender("rhea");
const told = new Map();
const send = (body) => told.set(sender.send({ durable: true, body }), { body, events: [] });
for (const event of ["accepted", "released", "rejected", "modified"]) sender.on(event, ({ delivery }) => told.get(delivery).events.push(event));
let opened = 0;
sender.on("sender_open", () => {
  send(++opened === 1 ? "before" : "after");
  if (opened === 2) setTimeout(show, 1500);
});
let away = 0;
container.on("disconnected", () => {
  if (++away === 1) console.log("rhea: sendable() when disconnected:", sender.sendable());
  if (away <= 3) send(`meanwhile ${away}`);
});
function show() {
  const got = [];
  connection.open_receiver("rhea").on("message", ({ message }) => got.push(message.body));
  setTimeout(() => {
    for (const { body, events } of told.values()) console.log(`rhea: ${body}: ${events.join(" ") || "no event"}`);
    console.log("rhea: in the queue:", got.join(", "));
    process.exit();
  }, 1500);
}
JS
cat >probe.py <<'PY'
import sys
from proton import Message
from proton.handlers import MessagingHandler
from proton.reactor import Container

class Probe(MessagingHandler):
    def on_start(self, event):
        self.opened, self.away, self.told, self.names, self.got = 0, 0, {}, {}, None
        self.connection = event.container.connect(f"127.0.0.1:{sys.argv[1]}")
        self.sender = event.container.create_sender(self.connection, "proton")

    def send(self, body):
        self.names[self.sender.send(Message(body=body, durable=True)).tag] = body
        self.told[body] = "no event"

    def on_link_opened(self, event):
        if event.link.is_sender:
            self.opened += 1
            self.send("before" if self.opened == 1 else "after")
            if self.opened == 2:
                event.container.schedule(1.5, self)

    def on_disconnected(self, event):
        self.away += 1
        if self.away <= 3:
            self.send(f"meanwhile {self.away}")

    def on_accepted(self, event):
        self.told[self.names[event.delivery.tag]] = "accepted"

    def on_message(self, event):
        self.got.append(event.message.body)

    def on_timer_task(self, event):
        if self.got is None:
            self.got = []
            event.container.create_receiver(self.connection, "proton")
            event.container.schedule(1.5, self)
        else:
            for body, events in self.told.items():
                print(f"proton: {body}: {events}")
            print("proton: in the queue:", ", ".join(self.got))
            self.connection.close()

Container(Probe()).run()
PY
for probe in "node probe.mjs" "venv/bin/python probe.py"; do
  start
  timeout 40 $probe "$port" 2>/dev/null & client=$!
  sleep 2.5; kill -9 $broker; wait $broker 2>/dev/null || true; sleep 1
  start
  wait $client
  kill -9 $broker; wait $broker 2>/dev/null || true
done | tee seen
cat >expected <<'TXT'
rhea: sendable() when disconnected: true
rhea: before: accepted
rhea: meanwhile 1: no event
rhea: meanwhile 2: no event
rhea: meanwhile 3: no event
rhea: after: accepted
rhea: in the queue: before, after
proton: before: accepted
proton: meanwhile 1: accepted
proton: meanwhile 2: accepted
proton: meanwhile 3: accepted
proton: after: accepted
proton: in the queue: before, meanwhile 1, meanwhile 2, meanwhile 3, after
TXT
diff expected seen
