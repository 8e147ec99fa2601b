#!/usr/bin/env bash
# slixmpp 1.17.0 (PyPI), an XMPP client, with its plugin for stream management (XEP-0198) and a handler that connects again; the server is Debian's Prosody (0.12.3 when seen).
# Guess: messages from one client to another arrive in the order in which they were sent (RFC 6120, section 10.1). A client that resumes its stream first sends again what the server
# has not got, and then what the program has sent since: that is what stream management is for, and each message arrives once.
# Seen: each arrives once, but the connection is open for new messages before it has been resumed. What the program sent while it was away goes out first, and what was on
# its way when the connection broke comes behind it, so at each break a few messages change places with all that was sent later: an answer arrives before
# its question, and a status that is old before one that is older. Nothing is raised, and a test that counts finds all of them. Number what must be in order, or wait for
# "stanza_acked" before the next message, and for "session_resumed" before anything is sent.
# Needs Prosody, python3 with venv, and the registry PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
chmod 755 "$dir"; mkdir data certs
python3 -m venv venv
venv/bin/pip install -q slixmpp==1.17.0
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >prosody.cfg.lua <<LUA
modules_enabled = { "roster", "saslauth", "smacks" }
authentication = "internal_plain"
allow_unencrypted_plain_auth = true
c2s_require_encryption = false
run_as_root = true
data_path = "$dir/data"
pidfile = "$dir/prosody.pid"
log = { warn = "$dir/prosody.log" }
c2s_ports = { $port }
c2s_interfaces = { "127.0.0.1" }
s2s_ports = {}
VirtualHost "localhost"
LUA
cat >probe.py <<'PY'
import asyncio, os, sys
import slixmpp

server, connections = int(sys.argv[1]), []

async def relay(reader, writer):
    """Between the sender and the server, so that its connection can be cut."""
    upstream = await asyncio.open_connection("127.0.0.1", server)
    connections.extend([writer, upstream[1]])
    async def copy(source, target):
        try:
            while data := await source.read(65536):
                target.write(data)
        except OSError:
            pass
        target.close()
    await asyncio.gather(copy(reader, upstream[1]), copy(upstream[0], writer), return_exceptions=True)

class Client(slixmpp.ClientXMPP):
    def __init__(self, name, port):
        super().__init__(f"{name}@localhost/{name}", "secret")
        self.register_plugin("xep_0198")
        self.enable_direct_tls = self.enable_starttls = False
        self.enable_plaintext = True
        self.plugin["feature_mechanisms"].unencrypted_scram = True
        self.port, self.bodies = port, []
        self.ready, self.resumed = asyncio.Event(), asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.send_presence())
        self.add_event_handler("sm_enabled", lambda _: self.ready.set())
        self.add_event_handler("session_resumed", lambda _: self.resumed.set())
        self.add_event_handler("disconnected", lambda _: asyncio.get_running_loop().call_later(0.5, self.open))
        self.add_event_handler("message", lambda message: self.bodies.append(int(message["body"])))

    def open(self):
        self.connect("127.0.0.1", self.port)

async def main():
    listening = await asyncio.start_server(relay, "127.0.0.1", 0)
    alice, bob = Client("alice", listening.sockets[0].getsockname()[1]), Client("bob", server)
    alice.open(), bob.open()
    await asyncio.gather(alice.ready.wait(), bob.ready.wait())
    def send(*numbers):
        for number in numbers:
            alice.send_message(mto="bob@localhost/bob", mbody=str(number), mtype="chat")
    send(1)
    while not bob.bodies:
        await asyncio.sleep(0.1)
    for connection in connections:
        connection.transport.abort()
    send(2, 3)  # On their way when the connection breaks.
    await asyncio.sleep(0.2)
    send(4, 5)  # While it is away.
    await alice.resumed.wait()
    send(6)
    for _ in range(50):
        if len(bob.bodies) > 5:
            break
        await asyncio.sleep(0.1)
    print("bob got", *bob.bodies, flush=True)
    os._exit(0)

asyncio.run(asyncio.wait_for(main(), 60))
PY
for user in alice bob; do prosodyctl --root --config "$dir/prosody.cfg.lua" register $user localhost secret >/dev/null 2>&1; done
prosody --root --config "$dir/prosody.cfg.lua" -F >/dev/null 2>&1 & server=$!
until (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.2; done
venv/bin/python probe.py "$port" 2>/dev/null | tee seen
diff <(echo "bob got 1 4 5 2 3 6") seen
