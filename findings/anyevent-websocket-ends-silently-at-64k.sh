#!/usr/bin/env bash
# Perl's AnyEvent::WebSocket::Client 0.54 (Debian 12: libanyevent-websocket-client-perl 0.54-1).
# Guess: a message over the client's size limit ends the connection with an error, and the server gets a close frame with 1009.
# Seen: a message of 65,536 bytes arrives. One of 65,537 ends the connection without a word: the "finish" handler gets no error,
# close_code is undefined, just as after an ordinary loss of the network, and the server gets no close frame. A client that reconnects and
# resumes gets the same message again, and neither side can tell why it never gets beyond it.
# Needs python3, perl and Debian's registry (apt-get download). Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
packages=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances libanyevent-websocket-client-perl | grep -E '^lib.*-perl$|^libev' | sort -u)
apt-get download -qq libanyevent-websocket-client-perl=0.54-1 $(grep -v anyevent-websocket-client <<<"$packages")
for package in ./*.deb; do dpkg -x "$package" root; done
cat >server.py <<'PY'
import base64, hashlib, socket, struct, threading, time

def serve(conn):
    head = b""
    while b"\r\n\r\n" not in head:
        head += conn.recv(4096)
    text = head.decode()
    size = int(text.split(" ")[1][1:])
    key = [line.split(": ")[1] for line in text.split("\r\n") if line.lower().startswith("sec-websocket-key")][0]
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    conn.sendall(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    time.sleep(0.3)
    conn.sendall(b"\x81\x7f" + struct.pack(">Q", size) + b"x" * size)
    conn.settimeout(1)
    got = b""
    try:
        while chunk := conn.recv(4096):
            got += chunk
    except OSError:
        pass
    print(f"server: {size} sent, {len(got)} bytes came back", flush=True)
    conn.close()

listener = socket.create_server(("127.0.0.1", 0))
open("port", "w").write(str(listener.getsockname()[1]))
while True:
    conn, _ = listener.accept()
    threading.Thread(target=serve, args=(conn,), daemon=True).start()
PY
cat >client.pl <<'PL'
use strict; use warnings; use AnyEvent; use AnyEvent::WebSocket::Client;
my $done = AnyEvent->condvar; my $kept; my @seen;
AnyEvent::WebSocket::Client->new->connect($ARGV[0])->cb(sub {
    $kept = shift->recv;
    $kept->on(each_message => sub { push @seen, "message of " . length($_[1]->body) });
    $kept->on(finish => sub { my ($c, $e) = @_; push @seen, "finish code=" . ($c->close_code // "undef") . " error=" . ($e // "undef"); $done->send });
});
my $timer = AnyEvent->timer(after => 5, cb => sub { $done->send });
$done->recv; print join(", ", @seen), "\n";
PL
python3 server.py >server.log & server=$!
trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
until [ -s port ]; do sleep 0.1; done
run() { PERL5LIB=$PWD/root/usr/share/perl5:$(find "$PWD/root/usr/lib" -type d -name 'perl5' | paste -sd:):$(find "$PWD/root/usr/lib" -type d -path '*perl5/5*' -prune | paste -sd:) PERL_ANYEVENT_MODEL=Perl perl client.pl "ws://127.0.0.1:$(cat port)/$1"; }
fits=$(run 65536); larger=$(run 65537); sleep 1.2
printf 'client: %s\nclient: %s\n' "$fits" "$larger"; cat server.log
[[ "$fits" == "message of 65536"* && "$larger" == "finish code=undef error="* && "$larger" != *1009* ]]
grep -q "65537 sent, 0 bytes came back" server.log
