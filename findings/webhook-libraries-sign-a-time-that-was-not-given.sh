#!/usr/bin/env bash
# PyPI: standardwebhooks 1.1.0 and svix 2.9.1, their sign(), Python 3; npm's standardwebhooks 1.1.1 as the receiver.
# Guess: sign(id, time, body) signs the moment that it is given, whatever zone the datetime is in: 12:00+00:00 and 14:00+02:00 are the same moment, equal to
# Python, with the same timestamp(), which is what goes into the header.
# Seen: both throw the zone away and take the clock's reading for UTC, so they sign a moment two hours off. The header says one time and the signature is made of another:
# every receiver refuses the message with "No matching signature found", as if the secret or the body were wrong, and the sender retries until it gives up.
# It works on a server that runs in UTC and fails where one passes the time of a user's or a database's zone. With datetime.now(timezone.utc) all is well.
# Needs Node, npm, python3 with venv and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund standardwebhooks@1.1.1 >/dev/null
python3 -m venv venv
venv/bin/pip install -q standardwebhooks==1.1.0 svix==2.9.1
cat >sign.py <<'PY'
import json
from datetime import datetime, timedelta, timezone
import standardwebhooks
import svix.webhooks

SECRET, BODY = "whsec_" + "c2VjcmV0" * 4, '{"news":1}'
utc = datetime.now(timezone.utc)
berlin = utc.astimezone(timezone(timedelta(hours=2)))
assert utc == berlin and utc.timestamp() == berlin.timestamp()
for name, library in {"standardwebhooks": standardwebhooks, "svix": svix.webhooks}.items():
    for zone, time in {"UTC": utc, "+02:00": berlin}.items():
        signature = library.Webhook(SECRET).sign("msg_1", time, BODY)
        headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(time.timestamp())), "webhook-signature": signature}
        print(json.dumps({"name": f"{name}, {zone}", "secret": SECRET, "body": BODY, "headers": headers}))
PY
cat >receive.mjs <<'JS'
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

for (const line of readFileSync("signed", "utf8").trim().split("\n")) {
  const { name, secret, body, headers } = JSON.parse(line);
  let answer = "accepted";
  try {
    new Webhook(secret).verify(body, headers);
  } catch ({ message }) {
    answer = message;
  }
  console.log(`${name}: ${answer}`);
}
JS
venv/bin/python sign.py >signed
node receive.mjs | tee seen
cat >expected <<'TXT'
standardwebhooks, UTC: accepted
standardwebhooks, +02:00: No matching signature found
svix, UTC: accepted
svix, +02:00: No matching signature found
TXT
diff expected seen
