#!/usr/bin/env bash
# Nchan 1.3.6 (Debian 12's libnginx-mod-nchan, with its nginx 1.22.1), a publish/subscribe server in nginx, messages kept in its own memory, as by default.
# Guess: `nginx -s reload` changes the configuration and keeps the shared memory, and with it the buffer of messages: a subscriber that comes back with Last-Event-ID gets what it
# missed, and what was published after the reload.
# Seen: the buffer is gone after each reload, of a certificate as of anything else. A subscriber that comes back gets only what was published later, without an error or a sign. In some runs
# the first message after the reload is lost too, for those who had missed nothing as well: it is accepted and counted with the old ones ("kept 4"), and gone when the next
# one comes ("kept 1"). Without a reload nothing is lost. Whoever needs the buffer has to keep it in Redis, which Nchan can do, or to publish again what may
# have been missed.
# Needs Node, nginx and Debian's registry (apt-get download). Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; nginx=
trap 'kill $nginx 2>/dev/null; sleep 0.3; rm -rf "$dir"' EXIT
apt-get download -qq libnginx-mod-nchan nginx-core >/dev/null 2>&1 || apt-get download -qq libnginx-mod-nchan nginx >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" root; done
port=$(node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})')
cat >nginx.conf <<CONF
load_module $dir/root/usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off;
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log;
events {}
http {
  access_log off;
  client_body_temp_path $dir/body;
  proxy_temp_path $dir/proxy;
  fastcgi_temp_path $dir/fastcgi;
  uwsgi_temp_path $dir/uwsgi;
  scgi_temp_path $dir/scgi;
  server {
    listen 127.0.0.1:$port;
    location ~ /publish/(\w+)$ {
      nchan_publisher;
      nchan_channel_id \$1;
      nchan_message_buffer_length 100;
      nchan_message_timeout 10m;
    }
    location ~ /subscribe/(\w+)$ {
      nchan_subscriber;
      nchan_channel_id \$1;
    }
  }
}
CONF
cat >run.mjs <<'JS'
import { readFileSync } from "node:fs";

const url = `http://127.0.0.1:${process.argv[2]}`;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
async function publish(channel, text) {
  const answer = await fetch(`${url}/publish/${channel}`, { method: "POST", body: text, headers: { accept: "application/json" } });
  return `${text}: ${answer.status < 300 ? "accepted" : answer.status}, kept ${(await answer.json()).messages}`;
}
/** What a subscriber gets within a second, each message as text and id. */
async function subscribe(channel, id) {
  const headers = { accept: "text/event-stream", ...(id && { "last-event-id": id }) };
  let text = "";
  try {
    const answer = await fetch(`${url}/subscribe/${channel}`, { headers, signal: AbortSignal.timeout(1000) });
    for await (const chunk of answer.body) text += Buffer.from(chunk);
  } catch {}
  return [...text.matchAll(/id: (.*)\ndata: (.*)/g)].map(([, id, data]) => ({ id, data }));
}
const texts = (messages) => messages.map(({ data }) => data).join(" ") || "nothing";
for (const how of ["quiet", "reload"]) {
  for (const text of ["m1", "m2", "m3"]) await publish(how, text);
  const [first] = await subscribe(how, "0:0");
  if (how === "reload") {
    process.kill(Number(readFileSync("nginx.pid", "utf8")), "SIGHUP");
    await pause(2000);
  }
  for (const text of ["m4", "m5", "m6"]) {
    console.log(`${how},`, await publish(how, text));
    await pause(300);
  }
  console.log(`${how}, behind m1:`, texts(await subscribe(how, first.id)));
}
JS
nginx=$(command -v nginx || find "$dir/root" -path '*sbin/nginx' | head -1)
"$nginx" -e "$dir/error.log" -p "$dir" -c "$dir/nginx.conf" & nginx=$!
for _ in $(seq 100); do [ -s nginx.pid ] && break; sleep 0.1; done
node run.mjs "$port" | tee seen
grep -q "^quiet, behind m1: m2 m3 m4 m5 m6$" seen
grep -qE "^reload, behind m1: (m4 )?m5 m6$" seen
