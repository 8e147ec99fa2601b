#!/usr/bin/env bash
# PyPI: requests 2.34.2 with urllib3 2.8.0, aiohttp-retry 2.9.1; npm: got 14.6.6, undici 7.30.2, axios-retry 4.5.0, gaxios 7.3.1; Go: resty 2.17.2.
# Next to them httpx-retries 0.6.0, aiohttp 3.14.5, ky 1.14.3, node-fetch 3.3.2 and Go's net/http.
# Guess: a body that is a stream (a generator, a file that is read, a pipe) can be sent once. When the first try is answered with 503, or with 307 to another address,
# the client has kept it, or says that it cannot send it again, or hands back the first answer.
# Seen: the first seven send the request again with an EMPTY body, and return the 200 for that as if all were well. A PUT has then replaced what was there
# with nothing, and of a POST of many lines none has arrived. With resty's SetFileReader the form arrives whole, and the file in it is empty.
# Some know the case and still miss it: got refuses a retry with a Node stream, but not with an async generator, nor a redirect; undici refuses
# a Readable, but not an async generator and not its own fetch. aiohttp-retry does it with BytesIO as well, which plain aiohttp rewinds or refuses.
# Whoever retries or follows redirects must give bytes, a string or (where there is one) a function that makes the stream anew, and have the server check a length or a digest.
# Needs Node 20, npm, python3 with venv, Go, and their registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund got@14.6.6 undici@7.30.2 axios@1.21.1 axios-retry@4.5.0 gaxios@7.3.1 ky@1.14.3 node-fetch@3.3.2 >/dev/null
python3 -m venv venv
venv/bin/pip install -q requests==2.34.2 urllib3==2.8.0 aiohttp==3.14.5 aiohttp-retry==2.9.1 httpx==0.28.1 httpx-retries==0.6.0
# Every second request for /retry/… is answered with 200, the others with 503; /redirect/… leads to /stored/…
cat >server.mjs <<'JS'
import http from "node:http";

const tries = {};
const stored = {};
http.createServer(async (request, response) => {
  const [, what, name] = request.url.split("/");
  if (what === "what-is-stored") return response.end(stored[name] ?? "nothing");
  let body = "";
  try {
    for await (const chunk of request) body += chunk;
  } catch {
    return; // The client has given up.
  }
  if (what === "redirect") response.writeHead(307, { location: `/stored/${name}` });
  else if (what === "retry" && !tries[name]) {
    tries[name] = true;
    response.writeHead(503, { "retry-after": "1" });
  } else stored[name] = JSON.stringify(body.includes("form-data") ? body.split("\r\n\r\n")[1].split("\r\n")[0] : body);
  response.end();
}).listen(0, "127.0.0.1", function () {
  console.log(this.address().port);
});
JS
cat >put.py <<'PY'
import asyncio, io, sys
import aiohttp, httpx, requests, urllib3
from aiohttp_retry import ExponentialRetry, RetryClient
from httpx_retries import Retry, RetryTransport
from requests.adapters import HTTPAdapter

def lines():
    yield b"one,"
    yield b"two"

async def async_lines():
    for line in lines():
        yield line

def with_requests(url):
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=urllib3.Retry(total=3, status_forcelist=[503])))
    return session.put(url, data=lines()).status_code

def with_httpx(url):
    with httpx.Client(transport=RetryTransport(retry=Retry(total=3))) as client:
        return client.put(url, content=lines()).status_code

def with_aiohttp_retry(body):
    async def put(url):
        async with RetryClient(retry_options=ExponentialRetry(attempts=3, statuses={503})) as client, client.put(url, data=body()) as response:
            return response.status
    return lambda url: asyncio.run(put(url))

def with_aiohttp(url):
    async def put():
        async with aiohttp.ClientSession() as client, client.put(url, data=async_lines()) as response:
            return response.status
    return asyncio.run(put())

for name, case, put in (
    ("requests", "retry", with_requests),
    ("requests", "redirect", with_requests),
    ("aiohttp-retry", "retry", with_aiohttp_retry(async_lines)),
    ("aiohttp-retry-BytesIO", "retry", with_aiohttp_retry(lambda: io.BytesIO(b"one,two"))),
    ("httpx-retries", "retry", with_httpx),
    ("aiohttp", "redirect", with_aiohttp),
):
    try:
        outcome = put(f"{sys.argv[1]}/{case}/{name}-{case}")
    except Exception:
        outcome = "error"
    print(f"{name}-{case} {outcome}", flush=True)
PY
cat >put.mjs <<'JS'
import { Readable } from "node:stream";
import axios from "axios";
import axiosRetry from "axios-retry";
import { request as gaxios } from "gaxios";
import got from "got";
import ky from "ky";
import nodeFetch from "node-fetch";
import { Agent, RetryAgent, fetch, interceptors, request } from "undici";

async function* lines() {
  yield Buffer.from("one,");
  yield Buffer.from("two");
}
const node = () => Readable.from(lines());
const web = () => Readable.toWeb(node());
const withRetries = axios.create();
axiosRetry(withRetries, { retries: 3 });
const retryAgent = new RetryAgent(new Agent());
const redirects = new Agent().compose(interceptors.redirect({ maxRedirections: 3 }));
const cases = {
  "got-generator-retry": async (url) => (await got.put(url, { body: lines() })).statusCode,
  "got-redirect": async (url) => (await got.put(url, { body: node() })).statusCode,
  "undici-generator-retry": async (url) => (await request(url, { method: "PUT", body: lines(), dispatcher: retryAgent })).statusCode,
  "undici-generator-redirect": async (url) => (await request(url, { method: "PUT", body: lines(), dispatcher: redirects })).statusCode,
  "undici-fetch-retry": async (url) => (await fetch(url, { method: "PUT", body: web(), duplex: "half", dispatcher: retryAgent })).status,
  "axios-retry": async (url) => (await withRetries.put(url, node())).status,
  "gaxios-retry": async (url) => (await gaxios({ url, method: "PUT", data: node(), duplex: "half", retry: true })).status,
  "got-stream-retry": async (url) => (await got.put(url, { body: node() })).statusCode,
  "undici-stream-retry": async (url) => (await request(url, { method: "PUT", body: node(), dispatcher: retryAgent })).statusCode,
  "ky-retry": async (url) => (await ky.put(url, { body: web(), duplex: "half" })).status,
  "node-fetch-redirect": async (url) => (await nodeFetch(url, { method: "PUT", body: node() })).status,
};
for (const [name, put] of Object.entries(cases)) {
  const outcome = await put(`${process.argv[2]}/${name.split("-").at(-1)}/${name}`).catch(() => "error");
  console.log(name, outcome);
}
process.exit();
JS
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/go-resty/resty/v2"
)

// A reader that can only be read, as a pipe.
type pipe struct{ io.Reader }

func lines() io.Reader { return pipe{strings.NewReader("one,two")} }

func main() {
	client := resty.New().SetRetryCount(3).AddRetryCondition(func(response *resty.Response, err error) bool {
		return err != nil || response.StatusCode() == 503
	})
	response, _ := client.R().SetBody(lines()).Put(os.Args[1] + "/retry/resty-retry")
	fmt.Println("resty-retry", response.StatusCode())
	response, _ = client.R().SetFileReader("file", "a.txt", lines()).Put(os.Args[1] + "/retry/resty-file-retry")
	fmt.Println("resty-file-retry", response.StatusCode())
	request, _ := http.NewRequest("PUT", os.Args[1]+"/redirect/net/http-redirect", lines())
	answer, _ := http.DefaultClient.Do(request)
	fmt.Println("net/http-redirect", answer.StatusCode)
}
GO
export GOPATH="$dir/go" GOFLAGS=-mod=mod
go mod init a >/dev/null 2>&1
go get github.com/go-resty/resty/v2@v2.17.2 >/dev/null 2>&1
go build -o put .
node server.mjs >port & server=$!
until [ -s port ]; do sleep 0.1; done
url=http://127.0.0.1:$(<port)
{
  timeout 60 venv/bin/python put.py "$url"
  timeout 60 node put.mjs "$url"
  timeout 60 ./put "$url" 2>/dev/null
} | while read -r name outcome; do
  echo "$name: $outcome, stored: $(curl -s "$url/what-is-stored/$name")"
done | tee seen
cat >expected <<'TXT'
requests-retry: 200, stored: ""
requests-redirect: 200, stored: ""
aiohttp-retry-retry: 200, stored: ""
aiohttp-retry-BytesIO-retry: 200, stored: ""
httpx-retries-retry: error, stored: nothing
aiohttp-redirect: error, stored: nothing
got-generator-retry: 200, stored: ""
got-redirect: 200, stored: ""
undici-generator-retry: 200, stored: ""
undici-generator-redirect: 200, stored: ""
undici-fetch-retry: 200, stored: ""
axios-retry: 200, stored: ""
gaxios-retry: 200, stored: ""
got-stream-retry: error, stored: nothing
undici-stream-retry: error, stored: nothing
ky-retry: 200, stored: "one,two"
node-fetch-redirect: error, stored: nothing
resty-retry: 200, stored: ""
resty-file-retry: 200, stored: ""
net/http-redirect: 307, stored: nothing
TXT
diff expected seen
