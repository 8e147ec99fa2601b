#!/usr/bin/env bash
# @xmpp/client 0.14.0 (npm, "xmpp.js", Node), XMPP with stream management (XEP-0198), which it switches on by itself. Debian's Prosody (0.12.3 when seen).
# Guess: a connection that is lost and resumed has lost nothing: both sides count the stanzas that they have got, tell each other how many when
# they resume, and send again what the other has not seen.
# Seen: what the program sends between the new connection and the end of its handshake goes out at once, in front of the login. Its promise resolves, the server refuses
# it, and nobody sends it again. The client counts each of these refusals as a stanza of the session that it is about to resume, so it says that it has got so many
# messages more than it has; the server believes it and forgets them: as many of those that others sent while it was away are lost, the first ones. "online" does
# not come again after a resumption, so nothing tells a program that it missed something. A program that sends nothing until then loses nothing, nor does
# slixmpp 1.17.0, seen by hand, in either direction.
# Needs Node, npm, lua5.4 and Debian's registry (apt-get download). Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @xmpp/client@0.14.0 >/dev/null
mkdir debs; cd debs
apt-get -qq download prosody lua-filesystem lua-expat lua-socket lua-sec lua-bitop 2>/dev/null
for file in *.deb; do dpkg -x "$file" ../root; done
cd ..
read -r port http <<<"$(node -e '
const net = require("node:net"); const servers = [0, 0].map(() => net.createServer().listen(0, "127.0.0.1"));
setTimeout(() => { console.log(...servers.map((server) => server.address().port)); servers.map((server) => server.close()); }, 50);')"
cat >prosody.cfg.lua <<LUA
daemonize = false
run_as_root = true
pidfile = "$dir/prosody.pid"
data_path = "$dir/data"
log = { error = "$dir/prosody.log" }
interfaces = { "127.0.0.1" }
c2s_ports = { $port }
http_ports = { $http }
https_ports = {}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
modules_enabled = { "roster", "saslauth", "smacks", "message", "disco" }
modules_disabled = { "s2s", "tls" }
VirtualHost "localhost"
LUA
mkdir -p data/localhost/accounts
for user in alice bob; do echo 'return { ["password"] = "secret" };' >data/localhost/accounts/$user.dat; done
root=$dir/root/usr
sed -e "s#^CFG_SOURCEDIR=.*#CFG_SOURCEDIR='$root/lib/prosody';#; s#^CFG_CONFIGDIR=.*#CFG_CONFIGDIR='$dir';#" \
  -e "s#^CFG_PLUGINDIR=.*#CFG_PLUGINDIR='$root/lib/prosody/modules/';#; s#^CFG_DATADIR=.*#CFG_DATADIR='$dir/data';#" root/usr/bin/prosody >prosody
libraries=$(dirname "$(find root -name 'liblua5.4-expat.so.0' | head -1)")
LUA_PATH_5_4="$root/share/lua/5.4/?.lua;$root/share/lua/5.4/?/init.lua;;" LUA_CPATH_5_4="$dir/$libraries/lua/5.4/?.so;;" LD_LIBRARY_PATH="$dir/$libraries" \
  lua5.4 prosody --config "$dir/prosody.cfg.lua" -F >out 2>&1 & server=$!
for _ in {1..300}; do (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
cat >talk.mjs <<'JS'
import net from "node:net";
import { client, xml } from "@xmpp/client";

const server = Number(process.argv[2]);
const until = async (holds) => { while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10)); };

// Bob's network: `isUp` false cuts all that there is and refuses what is new.
let isUp = true, refused = 0, last = 0;
const sockets = new Set();
const proxy = net.createServer((socket) => {
  socket.on("error", () => {});
  if (!isUp) { refused++; return socket.destroy(); }
  const there = net.connect(server, "127.0.0.1");
  there.on("error", () => {});
  socket.pipe(there).pipe(socket);
  for (const each of [socket, there]) {
    sockets.add(each);
    each.on("data", () => { last = Date.now(); });
    each.on("close", () => { socket.destroy(); there.destroy(); });
  }
}).listen(0, "127.0.0.1");
await until(() => proxy.address());

async function join(user, port) {
  const got = [];
  const connection = client({ service: `xmpp://127.0.0.1:${port}`, domain: "localhost", username: user, password: "secret" });
  connection.on("error", () => {});
  connection.on("stanza", (stanza) => { if (stanza.is("message")) got.push(stanza.getChildText("body")); });
  await connection.start();
  await connection.send(xml("presence"));
  const send = (to, text) => connection.send(xml("message", { to: `${to}@localhost`, type: "chat" }, xml("body", {}, text)));
  return { connection, got, send };
}
const alice = await join("alice", server);
const bob = await join("bob", proxy.address().port);
await alice.send("bob", "hello");
await bob.send("alice", "hello");
await until(() => alice.got.length > 0 && bob.got.length > 0);

await until(() => Date.now() - last > 500);
isUp = false;
for (const socket of sockets) socket.destroy();
const sentToBob = Array.from({ length: 20 }, (_, number) => `to bob ${number}`);
for (const text of sentToBob) await alice.send("bob", text);
await until(() => refused >= 2);
isUp = true;
let outcome;
const own = [];
bob.connection.streamManagement.on("resumed", () => { outcome = "resumed"; });
bob.connection.on("online", () => { outcome = "a new session"; });
bob.connection.on("open", () => { // The new connection is there, the login comes next.
  if (own.length > 0) return;
  for (const text of ["own 1", "own 2", "own 3"]) own.push(bob.send("alice", text).then(() => text, () => undefined));
});
await until(() => outcome);
await alice.send("bob", "last");
await until(() => bob.got.includes("last"));

await bob.send("alice", "last");
await until(() => alice.got.includes("last"));

const missing = sentToBob.filter((text) => !bob.got.includes(text));
const sent = (await Promise.all(own)).filter((text) => text !== undefined);
console.log(`the connection was cut, then: ${outcome}`);
console.log(`sent by bob during the handshake: ${sent.length} with success, ${sent.filter((text) => alice.got.includes(text)).length} arrived`);
console.log(`sent to bob while he was away, and lost: ${missing.join(", ") || "nothing"}`);
process.exit();
JS
timeout 60 node talk.mjs "$port" | tee seen
cat >expected <<'TXT'
the connection was cut, then: resumed
sent by bob during the handshake: 3 with success, 0 arrived
sent to bob while he was away, and lost: to bob 0, to bob 1, to bob 2
TXT
diff expected seen
