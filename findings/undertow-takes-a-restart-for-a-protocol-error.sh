#!/usr/bin/env bash
# Undertow 2.3.18.Final (Maven, io.undertow:undertow-websockets-jsr; WildFly's), its WebSocket client, Java 17; Tyrus 2.2.1 next to it.
# Guess: a server that restarts closes with 1012 ("service restart"), one that is full with 1013 ("try again later"), both in IANA's registry of
# close codes, and the client's onClose gets the code and the reason, so that it can come back, as the code asks.
# Seen: the client takes both for a fault in the protocol. onError is called, onClose gets 1002 with a reason of the client's own, the server gets
# 1002 too, and its reason is lost. A program that reconnects "unless the code is 1002" stays away, and the server's log blames the
# client. 1001, 3000 and 4001 arrive as they are. Tyrus hands on 1012 and 1013. (Pekko HTTP 1.1.0, another library, takes both for a fault too.)
# Needs Java 17, Maven, Node, npm and Maven Central. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ws@8.23.0 >/dev/null
fetch() {
  mkdir "$1"
  cat >"$1/pom.xml" <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>a</groupId><artifactId>a</artifactId><version>1</version><dependencies>
<dependency><groupId>$2</groupId><artifactId>$3</artifactId><version>$4</version></dependency></dependencies></project>
XML
  (cd "$1" && mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1)
}
fetch undertow io.undertow undertow-websockets-jsr 2.3.18.Final
fetch tyrus org.glassfish.tyrus.bundles tyrus-standalone-client 2.2.1
cat >Listen.java <<'JAVA'
import jakarta.websocket.ClientEndpointConfig;
import jakarta.websocket.CloseReason;
import jakarta.websocket.ContainerProvider;
import jakarta.websocket.Endpoint;
import jakarta.websocket.EndpointConfig;
import jakarta.websocket.Session;
import java.net.URI;

public class Listen {
    public static void main(String[] args) throws Exception {
        for (String code : new String[] {"1001", "1012", "1013", "3000", "4001"}) {
            StringBuilder seen = new StringBuilder();
            ContainerProvider.getWebSocketContainer().connectToServer(new Endpoint() {
                public void onOpen(Session session, EndpointConfig config) {}
                public void onError(Session session, Throwable error) { seen.append("onError, "); }
                public void onClose(Session session, CloseReason reason) {
                    seen.append("onClose ").append(reason.getCloseCode().getCode());
                    if (reason.getReasonPhrase().equals("the reason")) seen.append(" the reason");
                }
            }, ClientEndpointConfig.Builder.create().build(), URI.create(args[1] + "/" + args[0] + "/" + code));
            Thread.sleep(1_500);
            System.out.println(args[0] + " " + code + ": " + seen);
        }
        System.exit(0);
    }
}
JAVA
cat >server.mjs <<'JS'
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket, { url }) => {
  setTimeout(() => socket.close(Number(url.split("/")[2]), "the reason"), 200);
  socket.on("error", () => {});
  socket.on("close", (code) => code === 1002 && console.log(`server, ${url.slice(1)}: the client answered 1002`));
});
JS
>log
node server.mjs >>log & server=$!
until [ -s log ]; do sleep 0.1; done
for library in undertow tyrus; do
  javac -cp "$library/lib/*" -d "$library" Listen.java
  java -cp "$library:$library/lib/*" Listen "$library" "ws://127.0.0.1:$(head -1 log)" 2>/dev/null | grep -E "^$library" >>client
done
tail -n +2 log | cat client - | tee seen
cat >expected <<'TXT'
undertow 1001: onClose 1001 the reason
undertow 1012: onError, onClose 1002
undertow 1013: onError, onClose 1002
undertow 3000: onClose 3000 the reason
undertow 4001: onClose 4001 the reason
tyrus 1001: onClose 1001 the reason
tyrus 1012: onClose 1012 the reason
tyrus 1013: onClose 1013 the reason
tyrus 3000: onClose 3000 the reason
tyrus 4001: onClose 4001 the reason
server, undertow/1012: the client answered 1002
server, undertow/1013: the client answered 1002
TXT
diff expected seen
