#!/usr/bin/env bash
# npm: @socket.io/postgres-adapter 0.5.0 with socket.io 4.8.4 and pg 8.23.1, set up as its documentation says, Node. Debian's PostgreSQL (15 when seen).
# Guess: when PostgreSQL restarts, the adapter loses what was published meanwhile, and goes on when it is back: it has code that connects again, an option
# errorHandler, and a pool whose "error" event pg says to listen to.
# Seen: the whole process ends, with all its WebSockets, at each restart of PostgreSQL, and so do all processes that share it, at once. The connection that the adapter has taken from the
# pool for LISTEN has no listener for "error", which neither errorHandler nor pool.on("error") is: those are for errors of the adapter's own, and of connections that
# are not in use. The code that connects again waits for "end", which comes after. With pool.on("connect", (client) => client.on("error", ...)) the process
# lives, and hears of the others again after the restart.
# Needs Node, npm, PostgreSQL (as root also runuser and the user postgres), python3 and the registry npm. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); chmod 755 "$dir"; cd "$dir"; server=; nodes=()
trap 'kill $server "${nodes[@]}" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @socket.io/postgres-adapter@0.5.0 socket.io@4.8.4 pg@8.23.1 >/dev/null
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
as=()
if [ "$(id -u)" = 0 ]; then as=(runuser -u postgres --); fi
mkdir data; if [ "$(id -u)" = 0 ]; then chown postgres data; fi
"${as[@]}" "$bin/initdb" -D data -U postgres -A trust >/dev/null
start() {
  : >log
  "${as[@]}" "$bin/postgres" -D data -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= >log 2>&1 & server=$!
  for _ in {1..300}; do grep -q 'ready to accept' log && break; sleep 0.1; done
}
cat >node.mjs <<'JS'
import { createAdapter } from "@socket.io/postgres-adapter";
import pg from "pg";
import { Server } from "socket.io";

const [, , port, way] = process.argv;
const pool = new pg.Pool({ host: "127.0.0.1", port: Number(port), user: "postgres", database: "postgres" });
pool.on("error", () => {});
if (way === "every-connection") pool.on("connect", (client) => client.on("error", () => {}));
await pool.query("CREATE TABLE IF NOT EXISTS socket_io_attachments (id bigserial UNIQUE, created_at timestamptz DEFAULT NOW(), payload bytea)").catch(() => {});
const io = new Server(0, { adapter: createAdapter(pool, { errorHandler: () => {} }) });
io.on("word", (from) => { if (from !== way + process.pid) console.log("heard"); });
setInterval(() => { try { io.serverSideEmit("word", way + process.pid); } catch {} }, 500);
JS
start
for way in pool every-connection every-connection; do
  node node.mjs "$port" "$way" >"out-${#nodes[@]}" 2>"err-${#nodes[@]}" & nodes+=($!)
  sleep 2
done
for number in 0 1 2; do for _ in {1..300}; do grep -q heard "out-$number" && break; sleep 0.1; done; done
{
  for number in 0 1 2; do echo "node $number, before: $(grep -q heard "out-$number" && echo "hears the others" || echo "hears nobody")"; done
  kill -INT "$(head -1 data/postmaster.pid)"; wait "$server" 2>/dev/null || true
  sleep 2
  start
  sleep 8
  for number in 0 1 2; do : >"out-$number"; done
  sleep 8
  for number in 0 1 2; do
    kill -0 "${nodes[number]}" 2>/dev/null && state=lives || state="is gone, $(grep -q 'terminating connection due to administrator command' "err-$number" && echo "ended by the error of a connection")"
    echo "node $number, after a restart of PostgreSQL: $state$(grep -q heard "out-$number" && echo ", hears the others" || true)"
  done
} | tee seen
cat >expected <<'TXT'
node 0, before: hears the others
node 1, before: hears the others
node 2, before: hears the others
node 0, after a restart of PostgreSQL: is gone, ended by the error of a connection
node 1, after a restart of PostgreSQL: lives, hears the others
node 2, after a restart of PostgreSQL: lives, hears the others
TXT
diff expected seen
