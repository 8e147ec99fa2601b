#!/usr/bin/env bash
# Micronaut 4.10.15 (Maven, io.micronaut:micronaut-http-client), its SseClient, Java 17.
# Guess: a comment, a "retry:" or an id in a block of its own is no event, and changes nothing for a program that waits for events; several "data:"
# lines are joined by line feeds (WHATWG HTML, section 9.2.6).
# Seen: each of these blocks ends the stream with an error, and so does an empty "data:" line; so the usual heartbeat, a comment and an empty line, ends
# every stream after one interval. Only a comment without an empty line behind it is ignored. Lines of data are joined
# with nothing between them: "one" and "two" are "onetwo".
# Needs Java 17, Maven, python3 and Maven Central. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
dependency() { echo "<dependency><groupId>$1</groupId><artifactId>$2</artifactId><version>$3</version></dependency>"; }
cat >pom.xml <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>a</groupId><artifactId>a</artifactId><version>1</version><dependencies>
$(dependency io.micronaut micronaut-http-client 4.10.15)$(dependency io.micronaut micronaut-jackson-databind 4.10.15)
$(dependency io.projectreactor reactor-core 3.7.9)</dependencies></project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1
cat >Listen.java <<'JAVA'
import io.micronaut.http.HttpRequest;
import io.micronaut.http.client.sse.SseClient;
import java.net.URL;
import reactor.core.publisher.Flux;

public class Listen {
    public static void main(String[] args) throws Exception {
        for (String name : new String[] {"plain", "lines", "comment-line", "comment-block", "retry-block", "id-block", "empty-data"}) {
            StringBuilder seen = new StringBuilder();
            Flux.from(SseClient.create(new URL(args[0])).eventStream(HttpRequest.GET("/" + name), String.class))
                .doOnNext(event -> seen.append(event.getId()).append('=').append(event.getData()).append(' '))
                .doOnError(error -> seen.append("error"))
                .onErrorComplete().then().block();
            System.out.println("> " + name + ": " + seen.toString().replace("\n", "\\n").trim());
        }
        System.exit(0);
    }
}
JAVA
javac -cp 'lib/*' Listen.java
cat >server.py <<'PY'
import socketserver, time
from http.server import BaseHTTPRequestHandler

BETWEEN = {
    "/plain": "", "/lines": "id: 7\ndata: one\ndata: two\n\n", "/comment-line": ": hi\n", "/comment-block": ": hi\n\n",
    "/retry-block": "retry: 2000\n\n", "/id-block": "id: 7\n\n", "/empty-data": "id: 7\ndata:\n\n",
}

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for part in ("id: 1\ndata: first\n\n", BETWEEN[self.path], "id: 2\ndata: last\n\n"):
            self.wfile.write(part.encode())
            self.wfile.flush()
            time.sleep(0.3)

    def log_message(self, *_):
        pass

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

with Server(("127.0.0.1", 0), Handler) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
PY
python3 server.py >port 2>/dev/null & server=$!
until [ -s port ]; do sleep 0.1; done
java -cp '.:lib/*' Listen "http://127.0.0.1:$(cat port)" 2>/dev/null | grep '^> ' | tee seen
cat >expected <<'TXT'
> plain: 1=first 2=last
> lines: 1=first 7=onetwo 2=last
> comment-line: 1=first 2=last
> comment-block: 1=first error
> retry-block: 1=first error
> id-block: 1=first error
> empty-data: 1=first error
TXT
diff expected seen
