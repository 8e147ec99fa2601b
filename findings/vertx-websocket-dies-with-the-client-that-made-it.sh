#!/usr/bin/env bash
# Vert.x 5.0.7 (Maven, io.vertx:vertx-core), its WebSocketClient, Java 17; the server is npm's ws 8.23.0, which pings every second.
# Guess: a WebSocket that a program holds on to, reads from and writes to lives until one side closes it. The WebSocketClient that made it is a
# factory: vertx.createWebSocketClient().connect(...) needs no variable for it.
# Seen: when the garbage collector has found that nobody holds the WebSocketClient any more, a handshake under way fails at once ("Connection
# closed while handshake in process"), and an open WebSocket, in use and answering pings, closes itself 30 seconds later, with 1000 and without
# an error, as if its program had asked for that. It looks like a network that fails now and then, whenever the collector has run. With the
# WebSocketClient in a field, both live on. System.gc() stands in for a collection here, which would come by itself some time later.
# Needs Java 17, Maven, Node, npm and Maven Central. Takes 50 seconds. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ws@8.23.0 >/dev/null
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>a</groupId><artifactId>a</artifactId><version>1</version><dependencies>
<dependency><groupId>io.vertx</groupId><artifactId>vertx-core</artifactId><version>5.0.7</version></dependency>
</dependencies></project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1
cat >Listen.java <<'JAVA'
import io.vertx.core.Vertx;
import io.vertx.core.http.WebSocket;
import io.vertx.core.http.WebSocketClient;
import io.vertx.core.http.WebSocketConnectOptions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;

public class Listen {
    static final Map<String, String> seen = new ConcurrentHashMap<>();
    static final List<WebSocket> sockets = new ArrayList<>();
    static final Map<String, WebSocketClient> clients = new ConcurrentHashMap<>();

    static void connect(Vertx vertx, int port, String kind) {
        WebSocketClient client = vertx.createWebSocketClient();
        clients.put(kind, client);
        seen.put(kind, "connecting");
        client.connect(new WebSocketConnectOptions().setHost("127.0.0.1").setPort(port).setURI("/" + kind.replaceAll("[, ]+", "-"))).onComplete(result -> {
            if (result.failed()) {
                seen.put(kind, "failed: " + result.cause().getMessage());
                return;
            }
            WebSocket socket = result.result();
            sockets.add(socket);
            seen.put(kind, "open");
            socket.textMessageHandler(text -> {});
            socket.closeHandler(nothing -> seen.put(kind, "closed with " + socket.closeStatusCode()));
        });
    }

    public static void main(String[] args) throws Exception {
        Vertx vertx = Vertx.vertx();
        for (String when : new String[] {"open", "slow"}) {
            connect(vertx, Integer.parseInt(args[0]), "held, " + when);
            connect(vertx, Integer.parseInt(args[0]), "not held, " + when);
            Thread.sleep(when.equals("open") ? 5_000 : 1_000);
        }
        clients.keySet().removeIf(kind -> kind.startsWith("not held"));
        for (int i = 0; i < 3; i++) {
            System.gc();
            Thread.sleep(200);
        }
        Thread.sleep(35_000);
        new TreeMap<>(seen).forEach((kind, state) -> System.out.println("> client " + kind + ": " + state));
        System.exit(0);
    }
}
JAVA
javac -cp 'lib/*' Listen.java
cat >server.mjs <<'JS'
import { WebSocketServer } from "ws";

// A handshake to an address that ends with "slow" is answered after 5 seconds.
const verifyClient = ({ req }, done) => setTimeout(done, req.url.endsWith("slow") ? 5_000 : 0, true);
const server = new WebSocketServer({ port: 0, host: "127.0.0.1", verifyClient });
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket) => {
  socket.on("error", () => {});
  setInterval(() => socket.readyState === 1 && socket.ping(), 1_000);
});
JS
>log
node server.mjs >>log & server=$!
until [ -s log ]; do sleep 0.1; done
java -cp '.:lib/*' Listen "$(head -1 log)" 2>/dev/null | grep '^> ' | tee seen
cat >expected <<'TXT'
> client held, open: open
> client held, slow: open
> client not held, open: closed with 1000
> client not held, slow: failed: Connection closed while handshake in process
TXT
diff expected seen
