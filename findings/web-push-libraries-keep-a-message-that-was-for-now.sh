#!/usr/bin/env bash
# @block65/webcrypto-web-push 2.0.0 and @pushforge/builder 2.0.5 (npm, Node), webpush 1.0.6 (PyPI); web-push 3.6.7 (npm) next to them.
# Guess: the TTL of a message goes to the push service as it was given. 0, which RFC 8030 defines as "deliver now or never", is what a call
# that rings, a code to log in or a live score asks for; and what is said for one message holds for that one.
# Seen: @block65/webcrypto-web-push sends 60 for 0, @pushforge/builder 86400, a day, and webpush the TTL of an earlier message: a
# TTL given once stays with the object for all that follow, a 0 after it too, and so does a subscriber. @pushforge/builder makes
# the signed token expire with the message as well: one with a TTL of 5 seconds is refused with 403 if it is sent 5 seconds later. None of them says a word.
# Needs Node, npm, python3 with venv and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @block65/webcrypto-web-push@2.0.0 @pushforge/builder@2.0.5 web-push@3.6.7 >/dev/null
python3 -m venv venv
venv/bin/pip install -q webpush==1.0.6
cat >send.mjs <<'JS'
import { createECDH, randomBytes } from "node:crypto";
import { buildPushPayload } from "@block65/webcrypto-web-push";
import { buildPushHTTPRequest } from "@pushforge/builder";
import webpush from "web-push";

const browser = createECDH("prime256v1");
browser.generateKeys();
const subscription = {
  endpoint: "https://push.example.com/device", expirationTime: null,
  keys: { p256dh: browser.getPublicKey("base64url"), auth: randomBytes(16).toString("base64url") },
};
const { publicKey, privateKey } = webpush.generateVAPIDKeys();
const point = Buffer.from(publicKey, "base64url");
const subject = "mailto:ops@example.com";
const privateJWK = {
  kty: "EC", crv: "P-256", d: privateKey,
  x: point.subarray(1, 33).toString("base64url"), y: point.subarray(33).toString("base64url"),
};
for (const ttl of [5, 0]) {
  const said = [];
  const show = (name, headers) => {
    const all = new Headers(headers);
    const token = JSON.parse(Buffer.from(all.get("authorization").split(".")[1], "base64url"));
    said.push(`${name} TTL ${all.get("ttl")}, token for ${Math.round((token.exp - Date.now() / 1000) / 5) * 5} s`);
  };
  const { headers } = webpush.generateRequestDetails(subscription, "ring", { TTL: ttl, vapidDetails: { subject, publicKey, privateKey } });
  show("web-push", headers);
  show("@block65/webcrypto-web-push", (await buildPushPayload({ data: "ring", options: { ttl } }, subscription, { subject, publicKey, privateKey })).headers);
  show("@pushforge/builder", (await buildPushHTTPRequest({ privateJWK, subscription, message: { payload: "ring", adminContact: subject, options: { ttl } } })).headers);
  for (const line of said) console.log(`${ttl}: ${line}`);
}
JS
cat >send.py <<'PY'
import base64, os
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec
from webpush import WebPush, WebPushSubscription

def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

def point(key):
    return key.public_key().public_bytes(form.Encoding.X962, form.PublicFormat.UncompressedPoint)

key = ec.generate_private_key(ec.SECP256R1())
push = WebPush(
    private_key=key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()),
    public_key=key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo),
    subscriber="ops@example.com",
)
browser = ec.generate_private_key(ec.SECP256R1())
subscription = WebPushSubscription.model_validate({
    "endpoint": "https://push.example.com/device", "keys": {"p256dh": text(point(browser)), "auth": text(os.urandom(16))},
})
for given in ({}, {"ttl": 3600}, {"ttl": 0}, {}):
    print(f"webpush, {given or 'nothing said'}: TTL {push.get('ring', subscription, **given).headers['ttl']}")
PY
{ node send.mjs; venv/bin/python send.py; } | tee seen
cat >expected <<'TXT'
5: web-push TTL 5, token for 43200 s
5: @block65/webcrypto-web-push TTL 5, token for 43200 s
5: @pushforge/builder TTL 5, token for 5 s
0: web-push TTL 0, token for 43200 s
0: @block65/webcrypto-web-push TTL 60, token for 43200 s
0: @pushforge/builder TTL 86400, token for 86400 s
webpush, nothing said: TTL 0
webpush, {'ttl': 3600}: TTL 3600
webpush, {'ttl': 0}: TTL 3600
webpush, nothing said: TTL 3600
TXT
diff expected seen
