#!/usr/bin/env bash
# RESTEasy 6.2.12.Final (Maven, org.jboss.resteasy:resteasy-client), its JAX-RS SseEventSource, Java 17.
# Guess: a heartbeat that is a colon and a line feed, the shortest comment of Server-Sent Events (WHATWG HTML, section 9.2.6), changes nothing.
# Seen: the line after it becomes part of the comment. When that is the next event's "id:" line, the event arrives with id=null and
# comment="id: 2", and after a lost connection the client resumes from the event before it, so it is sent the event again. Behind
# a colon and a space all is well. Jersey 3.1.10 and CXF 4.1.3, the other two implementations of the same interface, read both.
# Needs Java 17, Maven and Maven Central. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>a</groupId><artifactId>a</artifactId><version>1</version><dependencies><dependency>
<groupId>org.jboss.resteasy</groupId><artifactId>resteasy-client</artifactId><version>6.2.12.Final</version>
</dependency></dependencies></project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1
cat >Listen.java <<'JAVA'
import jakarta.ws.rs.client.ClientBuilder;
import jakarta.ws.rs.sse.SseEventSource;

public class Listen {
    public static void main(String[] args) throws Exception {
        SseEventSource source = SseEventSource.target(ClientBuilder.newClient().target(args[0])).build();
        source.register(event -> System.out.println("id=" + event.getId() + " data=" + event.readData() + " comment=" + event.getComment()));
        source.open();
        Thread.sleep(4_000);
        System.exit(0);
    }
}
JAVA
javac -cp 'lib/*' Listen.java
cat >server.py <<'PY'
import socketserver, sys, time
from http.server import BaseHTTPRequestHandler

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        heartbeat = ":\n" if self.path == "/colon" else ": \n"
        for part in ("id: 1\ndata: first\n\n", heartbeat, "id: 2\ndata: second\n\n"):
            self.wfile.write(part.encode())
            self.wfile.flush()
            time.sleep(0.3)
        time.sleep(5)

    def log_message(self, *_):
        pass

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

with Server(("127.0.0.1", 0), Handler) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
PY
python3 server.py >port & server=$!
trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
until [ -s port ]; do sleep 0.1; done
listen() { java -cp '.:lib/*' Listen "http://127.0.0.1:$(cat port)/$1" 2>/dev/null | grep '^id='; }
colon=$(listen colon); space=$(listen space)
printf 'heartbeat ":\\n":\n%s\n\nheartbeat ": \\n":\n%s\n' "$colon" "$space"
[[ "$colon" == *"id=null data=second comment=id: 2"* && "$space" == *"id=2 data=second"* ]]
