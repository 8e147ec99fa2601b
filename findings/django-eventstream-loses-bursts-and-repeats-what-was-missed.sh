#!/usr/bin/env bash
# django-eventstream 5.3.4 (PyPI) with Django 5.2.8 under uvicorn 0.54.0, one process: Server-Sent Events, sent with send_event(), without storage (its default) and with DjangoModelStorage.
# Guess: a client that is connected gets every event; without storage only one that was away misses some. With storage, a client that comes back with Last-Event-ID gets
# what it missed, once, in order ("the stream will automatically be repaired", says its documentation).
# Seen: for each client ten events wait at most. Without storage, what comes in a row beyond that is dropped for clients that are connected and read all the time, without a
# line in the log (but at level DEBUG): a view or a task that sends 100 events leaves them with a part. With storage nothing is lost, but whoever comes back while something
# is sent gets all that it missed and then all of it again, once more for each time that an event comes while the database is read: after the last one it is at the
# first again. With one publisher that sends without a pause it was 7 of 30 clients in one run and 20 in another. Send lists as one event, set a storage class, and drop an
# event whose number is not above the last one.
# Needs Node, python3 (3.10 or newer) with venv and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
python3 -m venv venv
venv/bin/pip install -q django-eventstream==5.3.4 django==5.2.8 uvicorn==0.54.0
cat >app.py <<'PY'
import os
import django
from django.conf import settings

storage = {"EVENTSTREAM_STORAGE_CLASS": "django_eventstream.storage.DjangoModelStorage"} if os.environ.get("STORED") else {}
settings.configure(
    SECRET_KEY="secret", ROOT_URLCONF="app", ALLOWED_HOSTS=["*"], MIDDLEWARE=[], DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django_eventstream"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "events.db", "OPTIONS": {"timeout": 20}}}, **storage)
django.setup()

import django_eventstream
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import include, path

def send(request, first, last):
    for number in range(first, last + 1):
        django_eventstream.send_event("news", "message", {"n": number})
    return HttpResponse()

urlpatterns = [path("events/", include(django_eventstream.urls), {"channels": ["news"]}), path("send/<int:first>/<int:last>", send)]
application = get_asgi_application()
PY
cat >probe.mjs <<'JS'
const [, , port, mode] = process.argv;
const base = `http://127.0.0.1:${port}`;
const send = (first, last) => fetch(`${base}/send/${first}/${last}`);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const follow = async (headers = {}) => {
  const numbers = [];
  const reader = (await fetch(`${base}/events/`, { headers })).body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  (async () => {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += part.value;
      const whole = text.lastIndexOf("\n\n") + 1;
      for (const [, n] of text.slice(0, whole).matchAll(/"n": (\d+)/g)) numbers.push(Number(n));
      text = text.slice(whole);
    }
  })().catch(() => {});
  return numbers;
};
const judge = (numbers, count) => {
  const distinct = new Set(numbers).size;
  return `${distinct === count ? "all" : "not all"}, ${distinct === numbers.length ? "each once" : "many of them twice or more"}`;
};
const numbers = await follow();
await wait(1000);
await send(1, 100);
for (let i = 0; i < 100 && numbers.length < 100; i++) await wait(100);
console.log(`${mode}, connected, 100 in a row: ${judge(numbers, 100)}`);
if (mode === "stored") {
  // A publisher sends one event after the other; thirty clients come back one after the other, each of which has everything up to 10.
  let last = 100;
  let sending = true;
  const publisher = (async () => { while (sending) await send(++last, last); })();
  const clients = [];
  for (let i = 0; i < 30; i++) {
    clients.push(await follow({ "last-event-id": "news:10" }));
    await wait(150);
  }
  sending = false;
  await publisher;
  const isDone = (numbers) => numbers.at(-1) === last && new Set(numbers).size === last - 10;
  for (let i = 0; i < 100 && !clients.every(isDone); i++) await wait(100);
  await wait(1000);
  const repeated = clients.filter((numbers) => numbers.length > last - 10 + 50).length;
  console.error(`${repeated} of ${clients.length} clients`);
  console.log(`${mode}, back after 10, while something is sent: ${clients.every(isDone) ? "all" : "not all"}; ${repeated ? "some" : "none"} got many of them twice or more`);
}
process.exit();
JS
try() {
  local port; port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  rm -f events.db; venv/bin/python -c 'import app; from django.core.management import call_command; call_command("migrate", verbosity=0)'
  venv/bin/uvicorn app:application --port "$port" --log-level error >/dev/null 2>&1 & server=$!
  until (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.2; done
  node probe.mjs "$port" "$1"
  kill $server; wait $server 2>/dev/null || true
}
{ try "not stored"; STORED=yes try stored; } | tee seen
cat >expected <<'TXT'
not stored, connected, 100 in a row: not all, each once
stored, connected, 100 in a row: all, each once
stored, back after 10, while something is sent: all; some got many of them twice or more
TXT
diff expected seen
