#!/usr/bin/env bash
# Debian's redis-server (7.0.15 when seen), keyspace notifications (notify-keyspace-events KEA on both), a primary and its replica.
# Guess: who listens to __keyevent@0__:expired, for sessions, reservations or reminders that run out, can do so at a replica as well, to spare the primary: a replica has the
# same keys with the same times, says the same for every SET and EXPIRE, and answers "not there" for a key that has run out.
# Seen: the replica says "del" for a key that has run out, and "expired" for none, ever: it never expires a key by itself, it is told by its primary to delete it. So a listener at
# a replica hears of all writes and of no end, and after a failover, when the replica is the primary, the same listener begins to work: and the one at the old primary, which
# worked, hears nothing of that kind any more, connected and without an error. A listener to "del" there cannot tell an end from a DEL that somebody has sent.
# Listen at the primary, look at the role of the server after each reconnect, and look for what has run out in the data too.
# Needs redis-server. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; one=; two=; listeners=()
trap 'kill $one $two "${listeners[@]}" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
read -r a b <<<"$(python3 -c '
import socket
both = [socket.socket(), socket.socket()]
for each in both: each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in both))')"
mkdir a b
redis-server --port "$a" --bind 127.0.0.1 --save '' --dir "$dir/a" --repl-diskless-sync-delay 0 --notify-keyspace-events KEA >/dev/null & one=$!
redis-server --port "$b" --bind 127.0.0.1 --save '' --dir "$dir/b" --repl-diskless-sync-delay 0 --notify-keyspace-events KEA --replicaof 127.0.0.1 "$a" >/dev/null & two=$!
for port in "$a" "$b"; do until redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done; done
linked() { until redis-cli -p "$1" info replication | grep -q master_link_status:up; do sleep 0.1; done; }
linked "$b"
for port in "$a" "$b"; do redis-cli -p "$port" psubscribe '__keyevent@0__:*' >"at-$port" & listeners+=($!); done
for port in "$a" "$b"; do until grep -q psubscribe "at-$port"; do sleep 0.1; done; done
events() { grep -A1 '^__keyevent@0__:[a-z]' "at-$1" | grep -B1 "^$2\$" | sed -n 's/^__keyevent@0__://p' | paste -sd' '; }
ends() {
  redis-cli -p "$1" set "$2" value px 300 >/dev/null
  redis-cli -p "$1" set "$2-by-hand" value >/dev/null
  redis-cli -p "$1" del "$2-by-hand" >/dev/null
  for port in "$a" "$b"; do for _ in {1..100}; do events "$port" "$2" | grep -qE 'expired|del' && break; sleep 0.1; done; done
  sleep 0.5
}
{
  ends "$a" reminder
  echo "the primary says: $(events "$a" reminder); deleted by hand: $(events "$a" reminder-by-hand)"
  echo "the replica says: $(events "$b" reminder); deleted by hand: $(events "$b" reminder-by-hand)"
  redis-cli -p "$a" failover >/dev/null
  until redis-cli -p "$a" role | grep -q slave; do sleep 0.1; done
  linked "$a"
  ends "$b" later
  echo "after the failover, the listener at the old primary: $(events "$a" later)"
  echo "after the failover, the listener at the new primary: $(events "$b" later)"
} | tee seen
cat >expected <<'TXT'
the primary says: set expire expired; deleted by hand: set del
the replica says: set expire del; deleted by hand: set del
after the failover, the listener at the old primary: set expire del
after the failover, the listener at the new primary: set expire expired
TXT
diff expected seen
