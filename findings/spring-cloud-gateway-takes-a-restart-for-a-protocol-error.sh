#!/usr/bin/env bash
# Spring Cloud Gateway 4.3.0 (Maven, spring-cloud-starter-gateway-server-webflux, with Spring Boot 3.5.7, Java 17), a route to a WebSocket server with nothing else
# configured; the server and the client are npm's ws 8.23.0.
# Guess: a proxy passes on the close frame of either side, code and reason, and a connection that breaks on one side breaks on the other: the client finds
# 1012 ("service restart") as its server sent it, 1005 for a close frame without a code, and 1006 for a server that died.
# Seen: 1012, 1013 ("try again later") and 1014 become 1002, an error in the protocol, and the reason is lost; so does every close frame without a code, in both
# directions: it is what socket.close() of a browser sends. A server that dies without a close frame is an orderly end to its client, with 1005 and
# wasClean true, and a client that dies has closed in an orderly way for its server. 1000, 1001, 1011, 3000 and 4001 come through with their reason. Whoever reconnects "unless the
# code is 1002" or "unless it was clean" stays away behind this gateway, and works without it. A server behind it restarts with 1001, and clients come back whatever the code is.
# Needs Java 17, Maven, Node, npm and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=; gateway=
trap 'kill $server $gateway 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ws@8.23.0 >/dev/null
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>a</groupId><artifactId>a</artifactId><version>1</version>
<dependencyManagement><dependencies>
<dependency><groupId>org.springframework.cloud</groupId><artifactId>spring-cloud-dependencies</artifactId><version>2025.0.0</version><type>pom</type><scope>import</scope></dependency>
<dependency><groupId>org.springframework.boot</groupId><artifactId>spring-boot-dependencies</artifactId><version>3.5.7</version><type>pom</type><scope>import</scope></dependency>
</dependencies></dependencyManagement>
<dependencies><dependency><groupId>org.springframework.cloud</groupId><artifactId>spring-cloud-starter-gateway-server-webflux</artifactId></dependency></dependencies></project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1
cat >Gateway.java <<'JAVA'
package gateway;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.web.context.WebServerInitializedEvent;
import org.springframework.cloud.gateway.route.RouteLocator;
import org.springframework.cloud.gateway.route.builder.RouteLocatorBuilder;
import org.springframework.context.annotation.Bean;
import org.springframework.context.event.EventListener;

@SpringBootApplication
public class Gateway {
    public static void main(String[] args) { SpringApplication.run(Gateway.class, args); }

    @Bean
    RouteLocator routes(RouteLocatorBuilder builder) {
        return builder.routes().route("all", route -> route.path("/**").uri(System.getProperty("backend"))).build();
    }

    @EventListener
    void started(WebServerInitializedEvent event) { System.out.println("port " + event.getWebServer().getPort()); }
}
JAVA
javac -cp "lib/*" -d out Gateway.java
cat >server.mjs <<'JS'
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket, { url }) => {
  const what = url.slice(1);
  if (what === "died") setTimeout(() => socket.terminate(), 300);
  else if (what === "none") setTimeout(() => socket.close(), 300);
  else if (/^\d/.test(what)) setTimeout(() => socket.close(Number(what), "the reason"), 300);
  else socket.on("close", (code, reason) => console.log(`server, ${what}: ${code} ${reason}`.trim()));
});
JS
cat >client.mjs <<'JS'
import { WebSocket } from "ws";

const open = (what) => new WebSocket(`ws://127.0.0.1:${process.argv[2]}/${what}`);
for (const what of ["1000", "1001", "1011", "1012", "1013", "1014", "3000", "4001", "none", "died"]) {
  await new Promise((done) => {
    open(what).onclose = ({ code, reason, wasClean }) => done(console.log(`client, ${what}: ${code} ${reason ? `${reason}, ` : ""}clean ${wasClean}`));
  });
}
for (const [what, end] of [["client-4005", (socket) => socket.close(4005, "the reason")], ["client-none", (socket) => socket.close()], ["client-died", (socket) => socket.terminate()]]) {
  const socket = open(what);
  await new Promise((done) => (socket.onopen = done));
  await new Promise((done) => setTimeout(done, 500));
  end(socket);
  await new Promise((done) => setTimeout(done, 1000));
}
process.exit();
JS
node server.mjs >server.log & server=$!
until [ -s server.log ]; do sleep 0.1; done
: >gateway.log
java -Dbackend="ws://127.0.0.1:$(head -1 server.log)" -Dserver.port=0 -Dserver.address=127.0.0.1 -cp "out:lib/*" gateway.Gateway >gateway.log 2>&1 & gateway=$!
for _ in $(seq 600); do grep -q '^port' gateway.log && grep -q 'Started Gateway' gateway.log && break; sleep 0.1; done
node client.mjs "$(sed -n 's/^port //p' gateway.log)" >client
tail -n +2 server.log | cat client - | tee seen
cat >expected <<'TXT'
client, 1000: 1000 the reason, clean true
client, 1001: 1001 the reason, clean true
client, 1011: 1011 the reason, clean true
client, 1012: 1002 clean true
client, 1013: 1002 clean true
client, 1014: 1002 clean true
client, 3000: 3000 the reason, clean true
client, 4001: 4001 the reason, clean true
client, none: 1002 clean true
client, died: 1005 clean true
server, client-4005: 4005 the reason
server, client-none: 1002
server, client-died: 1005
TXT
diff expected seen
