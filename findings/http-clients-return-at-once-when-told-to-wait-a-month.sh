#!/usr/bin/env bash
# npm, Node: axios-retry 4.5.0, got 14.6.6 and @azure/core-rest-pipeline 1.24.0 (the transport of all of Azure's SDKs); ky 1.14.3 and undici 7.30.2's RetryAgent next to them.
# Guess: Retry-After is obeyed whatever it says, in seconds or as a date, or the client hands back the 429: RFC 9110 (section 10.2.3) gives no upper bound, and
# a quota for a calendar month that is used up on its first day says some 30 days.
# Seen: the first three wait as told for 24 days, and for 25 or more they come back in milliseconds, until all their retries are gone: the delay goes to setTimeout as it is,
# which takes more than 2^31 ms for 1 ms. So a client is gentle from about the 6th of a month on, and in the first days, when the quota is longest gone, each call is
# four or six requests in a burst; without a bound on retries it is an endless loop. ky waits (its timer is split or capped), undici never waits longer than its
# maxTimeout of 30 s.
# Let such a client give up at a long Retry-After: maxRetryAfter in got, retryCondition in axios-retry, a policy of one's own in Azure. A server keeps it below 24 days.
# Needs Node 20 and npm. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund axios@1.21.1 axios-retry@4.5.0 got@14.6.6 @azure/core-rest-pipeline@1.24.0 ky@1.14.3 undici@7.30.2 >/dev/null
cat >run.mjs <<'JS'
import http from "node:http";
import { createDefaultHttpClient, createPipelineFromOptions, createPipelineRequest } from "@azure/core-rest-pipeline";
import axios from "axios";
import axiosRetry, { isNetworkOrIdempotentRequestError } from "axios-retry";
import got from "got";
import ky from "ky";
import { Agent, RetryAgent, request } from "undici";

const DAY = 24 * 60 * 60;
const requests = {};
const server = http.createServer((request, response) => {
  const [, , form, days] = request.url.split("/");
  requests[request.url] = (requests[request.url] ?? 0) + 1;
  const wait = form === "date" ? new Date(Date.now() + days * DAY * 1000).toUTCString() : String(days * DAY);
  response.writeHead(429, { "retry-after": wait }).end("The quota of this month is used up.");
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));

const withRetries = axios.create();
axiosRetry(withRetries, { retries: 5, retryCondition: (error) => isNetworkOrIdempotentRequestError(error) || error.response?.status === 429 });
const azure = createPipelineFromOptions({});
const azureClient = createDefaultHttpClient();
const undici = new RetryAgent(new Agent(), { maxRetries: 5 });
const clients = {
  "axios-retry": (url) => withRetries.get(url),
  got: (url) => got(url, { retry: { limit: 5 } }),
  "@azure/core-rest-pipeline": (url) => azure.sendRequest(azureClient, createPipelineRequest({ url, allowInsecureConnection: true })),
  ky: (url) => ky(url, { retry: 5, timeout: false }),
  undici: (url) => request(url, { dispatcher: undici }),
};
for (const [name, get] of Object.entries(clients)) {
  for (const form of ["seconds", "date"]) {
    for (const days of [24, 30]) {
      const path = `/${encodeURIComponent(name)}/${form}/${days}`;
      const outcome = await Promise.race([
        get(`http://127.0.0.1:${server.address().port}${path}`).then(() => "ended", () => "ended"),
        new Promise((done) => setTimeout(done, 3000, "waits")),
      ]);
      console.log(`${name}, ${days} days in ${form}: ${outcome} after ${requests[path]}`);
    }
  }
}
process.exit();
JS
timeout 100 node run.mjs 2>/dev/null | tee seen
cat >expected <<'TXT'
axios-retry, 24 days in seconds: waits after 1
axios-retry, 30 days in seconds: ended after 6
axios-retry, 24 days in date: waits after 1
axios-retry, 30 days in date: ended after 6
got, 24 days in seconds: waits after 1
got, 30 days in seconds: ended after 6
got, 24 days in date: waits after 1
got, 30 days in date: ended after 6
@azure/core-rest-pipeline, 24 days in seconds: waits after 1
@azure/core-rest-pipeline, 30 days in seconds: ended after 4
@azure/core-rest-pipeline, 24 days in date: waits after 1
@azure/core-rest-pipeline, 30 days in date: ended after 4
ky, 24 days in seconds: waits after 1
ky, 30 days in seconds: waits after 1
ky, 24 days in date: waits after 1
ky, 30 days in date: waits after 1
undici, 24 days in seconds: waits after 1
undici, 30 days in seconds: waits after 1
undici, 24 days in date: waits after 1
undici, 30 days in date: waits after 1
TXT
diff expected seen
