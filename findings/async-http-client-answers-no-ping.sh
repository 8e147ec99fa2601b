#!/usr/bin/env bash
# AsyncHttpClient 3.0.1 (Maven, org.asynchttpclient:async-http-client), its WebSocket, Java 17; nv-websocket-client 2.14 next to it.
# Guess: a WebSocket client answers a ping by itself, "unless it already received a Close frame" (RFC 6455, section 5.5.2: MUST), and a close frame
# with a close frame (section 5.5.1), whatever its program does.
# Seen: it does neither. A server that pings, and cuts connections that do not answer, cuts this one again and again, however good the network
# is, and a server that waits for the answer to its close frame waits until its time limit. A program must call sendPongFrame in
# onPingFrame. When the connection is reset, only onError is called, and onClose never, so that a program which reconnects in onClose stays away.
# Needs Java 17, Maven, Node, npm and Maven Central. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ws@8.23.0 >/dev/null
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>a</groupId><artifactId>a</artifactId><version>1</version><dependencies>
<dependency><groupId>org.asynchttpclient</groupId><artifactId>async-http-client</artifactId><version>3.0.1</version></dependency>
<dependency><groupId>com.neovisionaries</groupId><artifactId>nv-websocket-client</artifactId><version>2.14</version></dependency>
</dependencies></project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1
cat >Listen.java <<'JAVA'
import com.neovisionaries.ws.client.WebSocketAdapter;
import com.neovisionaries.ws.client.WebSocketException;
import com.neovisionaries.ws.client.WebSocketFactory;
import com.neovisionaries.ws.client.WebSocketFrame;
import org.asynchttpclient.Dsl;
import org.asynchttpclient.ws.WebSocket;
import org.asynchttpclient.ws.WebSocketListener;
import org.asynchttpclient.ws.WebSocketUpgradeHandler;

public class Listen {
    static StringBuilder seen = new StringBuilder();

    static void async(String url) throws Exception {
        Dsl.asyncHttpClient().prepareGet(url).execute(new WebSocketUpgradeHandler.Builder().addWebSocketListener(new WebSocketListener() {
            public void onOpen(WebSocket socket) {}
            public void onTextFrame(String text, boolean last, int bits) { seen.append(" text"); }
            public void onClose(WebSocket socket, int code, String reason) { seen.append(" onClose"); }
            public void onError(Throwable error) { seen.append(" onError"); }
        }).build());
    }

    static void neovisionaries(String url) throws Exception {
        new WebSocketFactory().createSocket(url).addListener(new WebSocketAdapter() {
            public void onTextMessage(com.neovisionaries.ws.client.WebSocket socket, String text) { seen.append(" text"); }
            public void onDisconnected(com.neovisionaries.ws.client.WebSocket socket, WebSocketFrame server, WebSocketFrame client, boolean byServer) { seen.append(" onDisconnected"); }
        }).connect();
    }

    public static void main(String[] args) throws Exception {
        for (String kind : new String[] {"ping", "close", "reset"}) {
            for (String library : new String[] {"async-http-client", "nv-websocket-client"}) {
                seen.setLength(0);
                String url = args[0] + "/" + kind + "/" + library;
                if (library.startsWith("async")) async(url); else neovisionaries(url);
                Thread.sleep(2_500);
                System.out.println("client: " + kind + " " + library + ":" + seen);
            }
        }
        System.exit(0);
    }
}
JAVA
javac -cp 'lib/*' Listen.java
cat >server.mjs <<'JS'
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket, { url }) => {
  const [, kind, library] = url.split("/");
  let answered = false;
  socket.on("error", () => {});
  socket.on("pong", () => (answered = true));
  socket.on("close", (code) => (answered ||= kind === "close" && code === 4001));
  socket.send("hello");
  if (kind === "ping") socket.ping("p");
  if (kind === "close") socket.close(4001);
  if (kind === "reset") setTimeout(() => socket._socket.resetAndDestroy(), 500);
  else setTimeout(() => console.log(`server: ${kind} ${library}: ${answered ? "answered" : "not answered"}`), 2_000);
});
JS
>log
node server.mjs >>log & server=$!
until [ -s log ]; do sleep 0.1; done
java -cp '.:lib/*' Listen "ws://127.0.0.1:$(head -1 log)" 2>/dev/null | grep '^client: ' >client
tail -n +2 log | cat - client | tee seen
cat >expected <<'TXT'
server: ping async-http-client: not answered
server: ping nv-websocket-client: answered
server: close async-http-client: not answered
server: close nv-websocket-client: answered
client: ping async-http-client: text
client: ping nv-websocket-client: text
client: close async-http-client: text onClose
client: close nv-websocket-client: text onDisconnected
client: reset async-http-client: text onError
client: reset nv-websocket-client: text onDisconnected
TXT
diff expected seen
