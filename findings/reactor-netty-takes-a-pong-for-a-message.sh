#!/usr/bin/env bash
# Reactor Netty 1.2.9 (Maven, io.projectreactor.netty:reactor-netty-http), its WebSocket client, Java 17; java.net.http of Java 17 next to it.
# Guess: receive() hands on the messages of a WebSocket. A pong that nobody asked for is "a unidirectional heartbeat" (RFC 6455, section 5.5.3), as
# ASP.NET Core's servers send it to every client, and is no message; so is the answer to a ping of one's own.
# Seen: pings are answered and kept from the program, pongs are not: their bytes come out of receive() between the messages, with or without
# aggregateFrames(), and asString() makes a text of them. A pong without bytes is an empty text. Nothing tells them from messages; a program
# that parses each text fails at the first heartbeat. Only receiveFrames() shows which frame is which.
# Needs Java 17, Maven, Node, npm and Maven Central. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ws@8.23.0 >/dev/null
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>a</groupId><artifactId>a</artifactId><version>1</version><dependencies>
<dependency><groupId>io.projectreactor.netty</groupId><artifactId>reactor-netty-http</artifactId><version>1.2.9</version></dependency>
</dependencies></project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1
cat >Listen.java <<'JAVA'
import io.netty.handler.codec.http.websocketx.TextWebSocketFrame;
import java.net.URI;
import java.net.http.WebSocket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletionStage;
import reactor.core.publisher.Flux;
import reactor.netty.http.client.HttpClient;
import reactor.netty.http.websocket.WebsocketInbound;

public class Listen {
    interface Read { Flux<String> texts(WebsocketInbound in); }

    static void reactor(String name, String url, Read read) {
        List<String> seen = new ArrayList<>();
        HttpClient.create().websocket().uri(url).handle((in, out) -> read.texts(in).doOnNext(seen::add).then()).blockLast(Duration.ofSeconds(10));
        System.out.println("> " + name + ": " + seen);
    }

    public static void main(String[] args) throws Exception {
        reactor("receive()", args[0], in -> in.receive().asString());
        reactor("aggregateFrames().receive()", args[0], in -> in.aggregateFrames().receive().asString());
        reactor("receiveFrames(), texts only", args[0], in -> in.receiveFrames().ofType(TextWebSocketFrame.class).map(TextWebSocketFrame::text));
        List<String> seen = new ArrayList<>();
        java.net.http.HttpClient.newHttpClient().newWebSocketBuilder().buildAsync(URI.create(args[0]), new WebSocket.Listener() {
            public CompletionStage<?> onText(WebSocket socket, CharSequence text, boolean last) {
                seen.add(text.toString());
                return WebSocket.Listener.super.onText(socket, text, last);
            }
        }).join();
        Thread.sleep(2_000);
        System.out.println("> java.net.http: " + seen);
        System.exit(0);
    }
}
JAVA
javac -cp 'lib/*' Listen.java
cat >server.mjs <<'JS'
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket) => {
  socket.send("one");
  socket.ping("a ping");
  socket.pong("a pong");
  socket.pong();
  socket.send("two");
  setTimeout(() => socket.close(1000), 1_000);
});
JS
>log
node server.mjs >>log & server=$!
until [ -s log ]; do sleep 0.1; done
java -cp '.:lib/*' Listen "ws://127.0.0.1:$(head -1 log)/" 2>/dev/null | grep '^> ' | tee seen
cat >expected <<'TXT'
> receive(): [one, a pong, , two]
> aggregateFrames().receive(): [one, a pong, , two]
> receiveFrames(), texts only: [one, two]
> java.net.http: [one, two]
TXT
diff expected seen
