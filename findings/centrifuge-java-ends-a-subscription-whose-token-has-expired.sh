#!/usr/bin/env bash
# Maven: io.github.centrifugal:centrifuge-java 0.4.1 (Java 17), in front of a WebSocket server of npm's ws 8.23.0.
# Guess: a client that subscribes again after a lost connection, with a token that has expired meanwhile, is answered 109 ("token
# expired"), asks its token getter for another one and subscribes with that, as it does when the token of the connection has
# expired, and as centrifuge-go 0.12.1 does.
# Seen: the subscription is unsubscribed with code 109 for good. The getter is not asked, and the client stays connected, so an
# app that was offline for longer than its tokens are good for goes silent. When the app calls subscribe() in onUnsubscribed, the
# getter is asked and all goes on.
# Needs Node, npm, Maven and a JDK. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$dir"' EXIT; cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ws@8.23.0 >/dev/null
cat >server.mjs <<'JS'
// Speaks as much of the protobuf form as is needed: field 1 of a command is its id, 4 a connect, 5 a subscribe, whose fields
// are the topic (1) and the token (2). A reply has its id (1) and an error (2), a connect (5) or a subscribe (6).
import { WebSocketServer } from "ws";

const field = (number, bytes) => Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
const text = (number, value) => field(number, Buffer.from(value));
const varint = (number, value) => Buffer.from([number << 3, value]);
const reply = (id, body) => {
  const whole = Buffer.concat([varint(1, id), body]);
  return Buffer.concat([Buffer.from([whole.length]), whole]);
};

let connections = 0;
const server = new WebSocketServer({ port: 0, handleProtocols: () => "centrifuge-protobuf" });
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket) => {
  const number = ++connections;
  socket.on("message", (bytes) => {
    for (let at = 0; at < bytes.length; at += bytes[at] + 1) {
      const command = bytes.subarray(at + 1, at + 1 + bytes[at]);
      const id = command[1];
      if (command[2] === 0x22) {
        socket.send(reply(id, field(5, Buffer.concat([text(1, "c"), text(2, "1")]))));
      } else if (command[2] === 0x2a) {
        const token = command.toString("latin1").includes("fresh") ? "fresh" : "old";
        const isExpired = number > 1 && token === "old";
        console.error(`server, connection ${number}: subscribe with the ${token} token, ${isExpired ? "answered 109" : "accepted"}`);
        const error = Buffer.concat([varint(1, 109), text(2, "token expired")]);
        socket.send(reply(id, isExpired ? field(2, error) : field(6, Buffer.alloc(0))));
        if (number === 1) setTimeout(() => socket.terminate(), 300);
      }
    }
  });
});
JS
mkdir -p libraries
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>probe</groupId>
  <artifactId>probe</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>io.github.centrifugal</groupId>
      <artifactId>centrifuge-java</artifactId>
      <version>0.4.1</version>
    </dependency>
  </dependencies>
</project>
XML
cat >Probe.java <<'JAVA'
import io.github.centrifugal.centrifuge.*;

public class Probe {
  public static void main(String[] args) throws Exception {
    boolean again = args[1].equals("again");
    Options options = new Options();
    options.setMinReconnectDelay(50);
    options.setMaxReconnectDelay(50);
    Client client = new Client(args[0], options, new EventListener() {});
    SubscriptionOptions chosen = new SubscriptionOptions();
    chosen.setMinResubscribeDelay(50);
    chosen.setMaxResubscribeDelay(50);
    chosen.setToken("old");
    chosen.setTokenGetter(
        new SubscriptionTokenGetter() {
          @Override
          public void getSubscriptionToken(SubscriptionTokenEvent event, TokenCallback callback) {
            System.out.println("client: asks for a token");
            callback.Done(null, "fresh");
          }
        });
    Subscription subscription =
        client.newSubscription(
            "news",
            chosen,
            new SubscriptionEventListener() {
              @Override
              public void onUnsubscribed(Subscription ended, UnsubscribedEvent event) {
                System.out.println("client: unsubscribed with code " + event.getCode());
                if (again) ended.subscribe();
              }
            });
    subscription.subscribe();
    client.connect();
    Thread.sleep(4_000);
    System.out.println("client: " + client.getState() + ", subscription: " + subscription.getState());
    System.exit(0);
  }
}
JAVA
mvn -q -B dependency:copy-dependencies -DoutputDirectory=libraries >/dev/null 2>&1
javac -cp 'libraries/*' Probe.java
for mode in once again; do
  echo "== $mode" >>seen
  node server.mjs >port 2>>seen & server=$!
  until [ -s port ]; do sleep 0.1; done
  java -cp "libraries/*:." Probe "ws://127.0.0.1:$(cat port)/" "$mode" 2>/dev/null >>seen
  kill "$server"; rm port
done
cat seen
cat >expected <<'TXT'
== once
server, connection 1: subscribe with the old token, accepted
server, connection 2: subscribe with the old token, answered 109
client: unsubscribed with code 109
client: CONNECTED, subscription: UNSUBSCRIBED
== again
server, connection 1: subscribe with the old token, accepted
server, connection 2: subscribe with the old token, answered 109
client: unsubscribed with code 109
client: asks for a token
server, connection 2: subscribe with the fresh token, accepted
client: CONNECTED, subscription: SUBSCRIBED
TXT
diff expected seen
