#!/usr/bin/env bash
# Quarkus's JAX-RS client 3.33.2 (Maven, io.quarkus.resteasy.reactive:resteasy-reactive-client), its SseEventSource, Java 17; Jersey 3.1.10 next to it.
# Guess: it reconnects by itself with "Last-Event-ID", as the interface asks of every implementation (Jakarta RESTful Web Services 3.1,
# chapter 9) and as Jersey does, and isOpen() is true only while it has a stream or will try to get one.
# Seen: after the end of a stream it reconnects without the header, so that what was sent meanwhile is lost without a word. When the connection
# is cut in the middle of an event, or the first attempt to reconnect is answered 503, it tells its error handler and never
# comes back; isOpen() is still true.
# Needs Java 17, Maven, Node and Maven Central. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
fetch() {
  mkdir "$1"
  cat >"$1/pom.xml" <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>a</groupId><artifactId>a</artifactId><version>1</version><dependencies>$2</dependencies></project>
XML
  (cd "$1" && mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1)
}
dependency() { echo "<dependency><groupId>$1</groupId><artifactId>$2</artifactId><version>$3</version></dependency>"; }
fetch quarkus "$(dependency io.quarkus.resteasy.reactive resteasy-reactive-client 3.33.2)"
jersey=org.glassfish.jersey
fetch jersey "$(dependency $jersey.media jersey-media-sse 3.1.10)$(dependency $jersey.core jersey-client 3.1.10)$(dependency $jersey.inject jersey-hk2 3.1.10)"
cat >Listen.java <<'JAVA'
import jakarta.ws.rs.client.ClientBuilder;
import jakarta.ws.rs.sse.SseEventSource;
import java.util.concurrent.TimeUnit;

public class Listen {
    public static void main(String[] args) throws Exception {
        SseEventSource source = SseEventSource.target(ClientBuilder.newClient().target(args[0])).reconnectingEvery(300, TimeUnit.MILLISECONDS).build();
        StringBuilder seen = new StringBuilder();
        source.register(event -> seen.append(event.readData()).append(' '), error -> seen.append("error "));
        source.open();
        Thread.sleep(5_000);
        System.out.println("received: " + seen + "isOpen=" + source.isOpen());
        System.exit(0);
    }
}
JAVA
cat >server.mjs <<'JS'
import http from "node:http";

const requests = {};
const server = http.createServer(async ({ url, headers }, response) => {
  const count = (requests[url] = (requests[url] ?? 0) + 1);
  if (count < 4) console.log(`${url.slice(1)} request ${count}: Last-Event-ID ${headers["last-event-id"] ?? "absent"}`);
  if (count === 2 && url.endsWith("503")) return response.writeHead(503).end();
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write(`id: ${count}\ndata: event-${count}\n\n`);
  if (count > 1) return;
  await new Promise((resolve) => setTimeout(resolve, 500));
  if (url.endsWith("cut")) response.write("id: 9\ndata: ha", () => response.destroy());
  else response.end();
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
JS
: >log
node server.mjs >>log & server=$!
until [ -s log ]; do sleep 0.1; done
for library in quarkus jersey; do
  javac -cp "$library/lib/*" -d "$library" Listen.java
  for kind in end cut 503; do
    java -cp "$library:$library/lib/*" Listen "http://127.0.0.1:$(head -1 log)/$library-$kind" 2>/dev/null | grep received | sed "s/^/$library-$kind /" >>log
  done
done
tail -n +2 log | tee seen
cat >expected <<'TXT'
quarkus-end request 1: Last-Event-ID absent
quarkus-end request 2: Last-Event-ID absent
quarkus-end received: event-1 event-2 isOpen=true
quarkus-cut request 1: Last-Event-ID absent
quarkus-cut received: event-1 error isOpen=true
quarkus-503 request 1: Last-Event-ID absent
quarkus-503 request 2: Last-Event-ID absent
quarkus-503 received: event-1 error isOpen=true
jersey-end request 1: Last-Event-ID absent
jersey-end request 2: Last-Event-ID 1
jersey-end received: event-1 event-2 isOpen=true
jersey-cut request 1: Last-Event-ID absent
jersey-cut request 2: Last-Event-ID 1
jersey-cut received: event-1 event-2 isOpen=true
jersey-503 request 1: Last-Event-ID absent
jersey-503 request 2: Last-Event-ID 1
jersey-503 request 3: Last-Event-ID 1
jersey-503 received: event-1 event-3 isOpen=true
TXT
diff expected seen
