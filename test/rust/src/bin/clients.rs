// Clients of the Rust SDK, for tests, in JSON or in protobuf. It takes the same argument as test/python/clients.py and prints
// the same events. It takes no calls, and ends with its input.
use serde_json::{json, Value};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio_centrifuge::client::Client;
use tokio_centrifuge::config::{BackoffReconnect, Config};

fn emit(client: usize, event: &str, mut more: Value) {
    more["client"] = json!(client);
    more["event"] = json!(event);
    println!("{more}");
}

fn new_client(number: usize, given: &Value) -> Client {
    let address = given["address"].as_str().expect("an address");
    let (address, config) = match given["form"].as_str() {
        // It does not offer the subprotocol.
        Some("protobuf") => (format!("{address}?format=protobuf"), Config::new().use_protobuf()),
        _ => (address.to_string(), Config::new().use_json()),
    };
    let client = Client::new(
        &address,
        config.with_reconnect_strategy(BackoffReconnect {
            factor: 1.0,
            min_delay: Duration::from_millis(10),
            max_delay: Duration::from_millis(50),
        }),
    );
    client.on_connecting(move |e| emit(number, "connecting", json!({ "code": e.code })));
    client.on_connected(move |_| emit(number, "connected", json!({})));
    client.on_disconnected(move |e| emit(number, "disconnected", json!({ "code": e.code, "reason": e.reason })));
    client
}

fn subscribe(number: usize, client: &Client, name: &str) {
    let subscription = client.new_subscription(name);
    let topic = name.to_string();
    subscription.on_subscribed(move |_| emit(number, "subscribed", json!({ "topic": topic })));
    let topic = name.to_string();
    let (again, runtime) = (subscription.clone(), tokio::runtime::Handle::current());
    subscription.on_unsubscribed(move |e| {
        emit(number, "unsubscribed", json!({ "topic": topic, "code": e.code }));
        // A connection that is lost before the answer to its subscribe ends the subscription. The SDK is locked here.
        if e.code == 0 {
            let again = again.clone();
            runtime.spawn(async move { again.subscribe().await });
        }
    });
    let topic = name.to_string();
    subscription.on_publication(move |e| {
        let data: Value = serde_json::from_slice(&e.data).expect("JSON");
        emit(number, "publication", json!({ "topic": topic, "data": data, "offset": e.offset }));
    });
    // It resolves once the client is subscribed; the event says so too.
    drop(subscription.subscribe());
}

#[tokio::main]
async fn main() {
    let argument = std::env::args().nth(1).expect("the options as JSON");
    let given: Value = serde_json::from_str(&argument).expect("the options as JSON");
    let count = given["clients"].as_array().map_or(0, Vec::len);
    let mut clients = Vec::new();
    for number in 0..count {
        let client = new_client(number, &given);
        for topic in given["topics"].as_array().into_iter().flatten() {
            subscribe(number, &client, topic.as_str().expect("a name"));
        }
        drop(client.connect());
        clients.push(client);
    }
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await.expect("its input");
}
