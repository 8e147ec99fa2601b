#!/usr/bin/env bash
# pywebpush 2.5.0 (PyPI), webpush() and webpush_async(); web-push 3.6.7 (npm) next to it. Two push services of our own.
# Guess: vapid_claims says who is sending, {"sub": "mailto:..."}, so that one dict serves for all subscriptions; the audience of a token
# is the push service that it is sent to (RFC 8292), which the library knows from each subscription.
# Seen: the first call writes its audience and expiry into the dict of the caller, and what is there is used from then on: all that goes to
# another push service is signed for the first one, and refused by it (403), as long as the process lives. Which browsers get nothing depends on
# which was first after the start. With a dict of its own for each call it is right. The expiry is renewed, the audience is not.
# Needs Node, npm, python3 with venv and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund web-push@3.6.7 >/dev/null
python3 -m venv venv
venv/bin/pip install -q pywebpush==2.5.0
cat >send.py <<'PY'
import asyncio, base64, http.server, json, os, threading
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec
from pywebpush import webpush, webpush_async

def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

class PushService(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        claims = self.headers["authorization"].split(".")[1]
        said.append(json.loads(base64.urlsafe_b64decode(claims + "=="))["aud"])
        self.send_response(201)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass

said, names = [], {}
for name in ("first service", "second service"):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), PushService)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    names[f"http://127.0.0.1:{server.server_port}"] = name
key = text(ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value.to_bytes(32, "big"))
point = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(form.Encoding.X962, form.PublicFormat.UncompressedPoint)
subscriptions = [{"endpoint": f"{origin}/device", "keys": {"p256dh": text(point), "auth": text(os.urandom(16))}} for origin in names]

def show(kind):
    for name, audience in zip(names.values(), said):
        print(f"{kind}: what goes to the {name} is signed for the {names[audience]}")
    said.clear()

claims = {"sub": "mailto:ops@example.com"}
for subscription in subscriptions:
    webpush(subscription, "hello", vapid_private_key=key, vapid_claims=claims)
show("webpush(), one dict")
for subscription in subscriptions:
    webpush(subscription, "hello", vapid_private_key=key, vapid_claims={"sub": "mailto:ops@example.com"})
show("webpush(), a dict for each")

async def main():
    claims = {"sub": "mailto:ops@example.com"}
    for subscription in subscriptions:
        await webpush_async(subscription, "hello", vapid_private_key=key, vapid_claims=claims)

asyncio.run(main())
show("webpush_async(), one dict")
PY
cat >send.mjs <<'JS'
import { createECDH, randomBytes } from "node:crypto";
import webpush from "web-push";

const browser = createECDH("prime256v1");
browser.generateKeys();
const vapidDetails = { subject: "mailto:ops@example.com", ...webpush.generateVAPIDKeys() };
for (const name of ["first", "second"]) {
  const keys = { p256dh: browser.getPublicKey("base64url"), auth: randomBytes(16).toString("base64url") };
  const { headers } = webpush.generateRequestDetails({ endpoint: `https://${name}.example.com/device`, keys }, "hello", { vapidDetails });
  const { aud } = JSON.parse(Buffer.from(headers.Authorization.split(".")[1], "base64url"));
  console.log(`web-push, one object: what goes to the ${name} service is signed for the ${new URL(aud).host.split(".")[0]} service`);
}
JS
{ timeout 60 venv/bin/python send.py; node send.mjs; } | tee seen
cat >expected <<'TXT'
webpush(), one dict: what goes to the first service is signed for the first service
webpush(), one dict: what goes to the second service is signed for the first service
webpush(), a dict for each: what goes to the first service is signed for the first service
webpush(), a dict for each: what goes to the second service is signed for the second service
webpush_async(), one dict: what goes to the first service is signed for the first service
webpush_async(), one dict: what goes to the second service is signed for the first service
web-push, one object: what goes to the first service is signed for the first service
web-push, one object: what goes to the second service is signed for the second service
TXT
diff expected seen
