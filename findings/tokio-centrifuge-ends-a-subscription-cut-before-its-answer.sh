#!/usr/bin/env bash
# crates.io: tokio-centrifuge 0.2.6, in front of a WebSocket server of tokio-tungstenite 0.28.0.
# Guess: a client whose connection is lost connects again and subscribes again, whenever that happens: so do the official SDKs
# of the same protocol, and so does this one where its subscription had been answered.
# Seen: a subscription whose connection is lost before its answer is unsubscribed with code 0, the client
# connects again without it, and nothing more is ever received. A client on a bad network goes silent that way after some hundred
# cuts, connected all the time. Calling subscribe() in on_unsubscribed must be put off by a task, since the client is locked there.
# Needs cargo. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"

[dependencies]
futures-util = "=0.3.31"
serde_json = "=1.0.154"
tokio = { version = "=1.54.1", features = ["rt-multi-thread", "macros", "net", "time"] }
tokio-centrifuge = { version = "=0.2.6", default-features = false }
tokio-tungstenite = "=0.28.0"

[profile.dev]
debug = false
TOML
cat >src/main.rs <<'RUST'
use futures_util::{SinkExt, StreamExt};
use serde_json::{json, Value};
use std::time::Duration;
use tokio_centrifuge::{client::Client, config::{BackoffReconnect, Config}};
use tokio_tungstenite::{accept_async, tungstenite::Message};

/// Serves one connection: of the commands that it receives it answers so many, and goes away at the next.
async fn serve(listener: &tokio::net::TcpListener, connection: usize, mut answers: usize) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut socket = accept_async(stream).await.unwrap();
    while let Some(Ok(Message::Text(frame))) = socket.next().await {
        for line in frame.lines() {
            let command: Value = serde_json::from_str(line).unwrap();
            let Some(id) = command["id"].as_u64() else { continue };
            let kind = if command["connect"].is_object() { "connect" } else { "subscribe" };
            if answers == 0 {
                println!("server, connection {connection}: lost at {kind}");
                return;
            }
            answers -= 1;
            println!("server, connection {connection}: answered {kind}");
            let body = if kind == "connect" { json!({ "client": "c", "version": "1" }) } else { json!({}) };
            socket.send(Message::text(json!({ "id": id, kind: body }).to_string())).await.unwrap();
        }
    }
}

#[tokio::main]
async fn main() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("ws://{}/", listener.local_addr().unwrap());
    // The first connection is lost after both answers, the second after the first one, and the third stays.
    let server = tokio::spawn(async move {
        let first = tokio::time::timeout(Duration::from_secs(1), serve(&listener, 1, 2)).await;
        assert!(first.is_err());
        serve(&listener, 2, 1).await;
        serve(&listener, 3, 9).await;
    });
    let strategy = BackoffReconnect { factor: 1.0, min_delay: Duration::from_millis(50), max_delay: Duration::from_millis(50) };
    let client = Client::new(&address, Config::new().use_json().with_reconnect_strategy(strategy));
    let subscription = client.new_subscription("news");
    subscription.on_subscribed(|_| println!("client: subscribed"));
    subscription.on_unsubscribed(|e| println!("client: unsubscribed with code {}", e.code));
    drop(subscription.subscribe());
    drop(client.connect());
    tokio::time::sleep(Duration::from_secs(5)).await;
    println!("client: {:?}, subscription: {:?}", client.state(), subscription.state());
    server.abort();
    std::process::exit(0);
}
RUST
cargo build --quiet 2>/dev/null
./target/debug/probe | tee seen
cat >expected <<'TXT'
server, connection 1: answered connect
server, connection 1: answered subscribe
client: subscribed
server, connection 2: answered connect
server, connection 2: lost at subscribe
client: unsubscribed with code 0
server, connection 3: answered connect
client: Connected, subscription: Unsubscribed
TXT
diff expected seen
