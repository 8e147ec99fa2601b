#!/usr/bin/env bash
# PycURL 7.49.0 (PyPI, with libcurl 8.23.0), OkHttp 5.5.1 (Maven) and HttpURLConnection of Java 17; httpx 0.28.1 and java.net.http next to them.
# Guess: a POST whose connection ends before there is an answer is an error: a client cannot know whether it was carried out, and must not repeat
# a method that is not idempotent "unless it has some means to know" (RFC 9110, section 9.2.2). A kept connection makes no difference.
# Seen: on a connection that has carried a request before, the first three send the POST a second time by themselves, on a new connection, and
# return the second answer as if nothing had been. Without a key for idempotency the message is published twice, and neither side logs a
# word. The others report an error. (Go repeats a POST too, but only one with an Idempotency-Key, as its documentation says.)
# Needs Java 17, Maven, python3 with venv, and their registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
python3 -m venv venv
venv/bin/pip install -q pycurl==7.49.0 httpx==0.28.1
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>a</groupId><artifactId>a</artifactId><version>1</version><dependencies>
<dependency><groupId>com.squareup.okhttp3</groupId><artifactId>okhttp-jvm</artifactId><version>5.5.1</version></dependency>
</dependencies></project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1
# The server carries out each POST. It answers the first one on a connection, and is gone (a deploy, a crash) before it answers the second.
cat >server.py <<'PY'
import socketserver

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for count in (1, 2):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = self.rfile.readline()
                if not line:
                    return
                head += line
            fields = dict(line.lower().split(": ") for line in head.decode().split("\r\n")[1:-2])
            body = self.rfile.read(int(fields["content-length"])).decode()
            print(f"{head.decode().split()[1][1:]} {body}", flush=True)
            if count == 1:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

with Server(("127.0.0.1", 0), Handler) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
PY
cat >Post.java <<'JAVA'
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;

public class Post {
    static final OkHttpClient okHttp = new OkHttpClient();
    static final HttpClient jdk = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    static void post(String client, URI url, String body) throws Exception {
        if (client.equals("OkHttp")) {
            try (var response = okHttp.newCall(new Request.Builder().url(url.toURL()).post(RequestBody.create(body, null)).build()).execute()) {
                response.body().string();
            }
        } else if (client.equals("java.net.http")) {
            jdk.send(HttpRequest.newBuilder(url).POST(HttpRequest.BodyPublishers.ofString(body)).build(), HttpResponse.BodyHandlers.ofString());
        } else {
            HttpURLConnection connection = (HttpURLConnection) url.toURL().openConnection();
            connection.setDoOutput(true);
            connection.getOutputStream().write(body.getBytes());
            connection.getInputStream().readAllBytes();
        }
    }

    public static void main(String[] args) {
        for (String client : new String[] {"OkHttp", "HttpURLConnection", "java.net.http"}) {
            String outcome = "";
            for (String body : new String[] {"one", "two"}) {
                try {
                    post(client, URI.create(args[0] + client), body);
                    outcome = "success";
                } catch (Exception error) {
                    outcome = "error";
                }
            }
            System.out.println(client + " " + outcome);
        }
        System.exit(0);
    }
}
JAVA
javac -cp 'lib/*' Post.java
cat >post.py <<'PY'
import io, sys
import httpx, pycurl

def with_pycurl():
    curl = pycurl.Curl()

    def post(url, body):
        curl.setopt(curl.URL, url)
        curl.setopt(curl.POSTFIELDS, body)
        curl.setopt(curl.WRITEDATA, io.BytesIO())
        curl.perform()

    return post

session = httpx.Client()
for name, post in (("PycURL", with_pycurl()), ("httpx", lambda url, body: session.post(url, content=body))):
    for body in ("one", "two"):
        try:
            post(sys.argv[1] + name, body)
            outcome = "success"
        except Exception:
            outcome = "error"
    print(f"{name} {outcome}")
PY
python3 server.py >log 2>/dev/null & server=$!
until [ -s log ]; do sleep 0.1; done
url=http://127.0.0.1:$(head -1 log)/
{ venv/bin/python post.py "$url"; java -cp '.:lib/*' Post "$url" 2>/dev/null; } >outcomes
while read -r name outcome; do
  echo "$name: the second POST is a $outcome, and was carried out $(grep -c "^$name two$" log) times" | sed 's/a error/an error/; s/1 times/once/; s/2 times/twice/'
done <outcomes | tee seen
cat >expected <<'TXT'
PycURL: the second POST is a success, and was carried out twice
httpx: the second POST is an error, and was carried out once
OkHttp: the second POST is a success, and was carried out twice
HttpURLConnection: the second POST is a success, and was carried out twice
java.net.http: the second POST is an error, and was carried out once
TXT
diff expected seen
