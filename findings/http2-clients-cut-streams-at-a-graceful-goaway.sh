#!/usr/bin/env bash
# httpx 0.28.1 (PyPI), undici 7.30.2 (npm) and java.net.http of Java 17; niquests 3.21.2, Node's http2, OkHttp 5.5.1 and Jetty's client 12.1.14 next to them.
# Guess: a server or proxy that is about to be replaced says GOAWAY without an error and names the last stream that it will finish; that stream goes on
# to its end, and only new requests need a new connection (RFC 9113, section 6.8: "activity on streams numbered lower ... might still complete").
# Seen: httpx, undici and java.net.http end a stream of events at once, with an error, though the server goes on sending. So each reload of a proxy cuts
# such clients, all at the same moment, and what was on its way is lost unless they resume. The others read to the end.
# Needs Node 20, npm, python3 with venv, Java 17, Maven, openssl and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund undici@7.30.2 >/dev/null
python3 -m venv venv
venv/bin/pip install -q 'httpx[http2]==0.28.1' h2==4.4.1 niquests==3.21.2
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>a</groupId><artifactId>a</artifactId><version>1</version><dependencies>
<dependency><groupId>com.squareup.okhttp3</groupId><artifactId>okhttp-jvm</artifactId><version>5.5.1</version></dependency>
<dependency><groupId>org.eclipse.jetty.http2</groupId><artifactId>jetty-http2-client-transport</artifactId><version>12.1.14</version></dependency>
</dependencies></project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:TRUE 2>/dev/null
# It sends four events and the end, the last two together, and after the second event GOAWAY, with NO_ERROR and the number of this stream.
cat >server.mjs <<'JS'
import { readFileSync } from "node:fs";
import { createSecureServer } from "node:http2";

const server = createSecureServer({ key: readFileSync("key.pem"), cert: readFileSync("cert.pem") });
const pause = () => new Promise((resolve) => setTimeout(resolve, 300));
server.on("session", (session) => session.on("error", () => {}));
server.on("stream", async (stream) => {
  const { session } = stream;
  stream.on("error", () => {});
  stream.respond({ ":status": 200, "content-type": "text/event-stream" });
  for (const n of [1, 2, 3]) {
    if (stream.destroyed) return;
    stream.write(`data: ${n}\n\n`);
    await pause();
    if (n === 2) session.close();
  }
  stream.end("data: 4\n\n");
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
JS
cat >undici.mjs <<'JS'
import { Agent, fetch } from "undici";

const dispatcher = new Agent({ allowH2: true, connect: { rejectUnauthorized: false } });
let text = "";
try {
  const answer = await fetch(process.argv[2], { dispatcher });
  for await (const chunk of answer.body) text += Buffer.from(chunk);
  console.log("undici", text.match(/\d/g).join(""), "end");
} catch {
  console.log("undici", text.match(/\d/g).join(""), "error");
}
process.exit();
JS
cat >node.mjs <<'JS'
import { connect } from "node:http2";

const session = connect(process.argv[2], { rejectUnauthorized: false });
const stream = session.request();
let text = "";
stream.on("data", (chunk) => (text += chunk));
stream.on("error", () => {});
stream.on("close", () => console.log("node:http2", text.match(/\d/g).join(""), stream.aborted || stream.rstCode ? "error" : "end"));
JS
cat >streams.py <<'PY'
import sys
import httpx, niquests

def with_httpx():
    with httpx.Client(http2=True, verify=False).stream("GET", sys.argv[1]) as answer:
        yield from answer.iter_lines()

def with_niquests():
    for line in niquests.get(sys.argv[1], stream=True, verify="cert.pem").iter_lines():
        yield line.decode()

for name, lines in (("httpx", with_httpx()), ("niquests", with_niquests())):
    seen, outcome = "", "end"
    try:
        for line in lines:
            seen += line[6:]
    except Exception:
        outcome = "error"
    print(name, seen, outcome)
PY
cat >Streams.java <<'JAVA'
import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.cert.X509Certificate;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;
import org.eclipse.jetty.client.HttpClient;
import org.eclipse.jetty.client.InputStreamResponseListener;
import org.eclipse.jetty.http2.client.HTTP2Client;
import org.eclipse.jetty.http2.client.transport.HttpClientTransportOverHTTP2;
import org.eclipse.jetty.io.ClientConnector;
import org.eclipse.jetty.util.ssl.SslContextFactory;

public class Streams {
    static final X509TrustManager anyone = new X509TrustManager() {
        public void checkClientTrusted(X509Certificate[] chain, String type) {}
        public void checkServerTrusted(X509Certificate[] chain, String type) {}
        public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
    };

    static InputStream open(String client, String url, SSLContext tls) throws Exception {
        if (client.equals("OkHttp")) {
            var okHttp = new okhttp3.OkHttpClient.Builder().sslSocketFactory(tls.getSocketFactory(), anyone).build();
            return okHttp.newCall(new okhttp3.Request.Builder().url(url).build()).execute().body().byteStream();
        }
        if (client.equals("java.net.http")) {
            var jdk = java.net.http.HttpClient.newBuilder().sslContext(tls).build();
            return jdk.send(HttpRequest.newBuilder(URI.create(url)).build(), HttpResponse.BodyHandlers.ofInputStream()).body();
        }
        var connector = new ClientConnector();
        connector.setSslContextFactory(new SslContextFactory.Client(true));
        var jetty = new HttpClient(new HttpClientTransportOverHTTP2(new HTTP2Client(connector)));
        jetty.start();
        var listener = new InputStreamResponseListener();
        jetty.newRequest(url).send(listener);
        return listener.getInputStream();
    }

    public static void main(String[] args) throws Exception {
        SSLContext tls = SSLContext.getInstance("TLS");
        tls.init(null, new TrustManager[] {anyone}, null);
        for (String client : new String[] {"OkHttp", "java.net.http", "Jetty"}) {
            String seen = "", outcome = "end";
            try {
                var reader = new BufferedReader(new InputStreamReader(open(client, args[0], tls)));
                for (String line; (line = reader.readLine()) != null; ) seen += line.isEmpty() ? "" : line.substring(6);
            } catch (Exception error) {
                outcome = "error";
            }
            System.out.println(client + " " + seen + " " + outcome);
        }
        System.exit(0);
    }
}
JAVA
javac -cp 'lib/*' Streams.java
node server.mjs >port & server=$!
until [ -s port ]; do sleep 0.1; done
url=https://localhost:$(cat port)/
{
  timeout 20 node undici.mjs "$url"
  timeout 20 node node.mjs "$url"
  timeout 30 venv/bin/python streams.py "$url"
  timeout 40 java -cp '.:lib/*' Streams "$url"
} 2>/dev/null | tee seen
cat >expected <<'TXT'
undici 12 error
node:http2 1234 end
httpx 12 error
niquests 1234 end
OkHttp 1234 end
java.net.http 12 error
Jetty 1234 end
TXT
diff expected seen
