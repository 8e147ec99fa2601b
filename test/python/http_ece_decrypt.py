# Decrypts pushes with the library http_ece: one JSON object a line, {"body", "private", "auth"} in base64url, answered by the text.
import base64
import json
import sys

import http_ece
from cryptography.hazmat.backends import default_backend
from cryptography.hazmat.primitives.asymmetric import ec


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


for line in sys.stdin:
    given = json.loads(line)
    number = int.from_bytes(decoded(given["private"]), "big")
    private = ec.derive_private_key(number, ec.SECP256R1(), default_backend())
    text = http_ece.decrypt(
        decoded(given["body"]),
        private_key=private,
        auth_secret=decoded(given["auth"]),
        version="aes128gcm",
    )
    print(json.dumps(text.decode()), flush=True)
