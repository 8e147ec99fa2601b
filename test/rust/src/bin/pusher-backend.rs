// A backend with a Pusher library for Rust, for tests. It takes the arguments of test/python/pusher_backend.py, makes the same calls and
// prints the same lines.
use pushers::{BatchEvent, Channel, Config, Pusher, PusherError, TriggerParams};
use reqwest::Response;
use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::env;

/// The status for a refusal of the relay, and the kind of any other error.
fn error_of(error: PusherError) -> Value {
    match error {
        PusherError::Request(refused) => json!(refused.status),
        PusherError::Validation { .. } => json!("Validation"),
        other => json!(other.to_string()),
    }
}

async fn show(name: &str, result: Result<Response, PusherError>) {
    let outcome = match result {
        Ok(response) => {
            let status = response.status().as_u16();
            let body = response.text().await.expect("a body");
            match status {
                200 => serde_json::from_str(&body).expect("JSON"),
                refused => json!(refused),
            }
        }
        Err(error) => error_of(error),
    };
    println!("{}", json!([name, outcome]));
}

fn client(arguments: &[String], secret: &str) -> Pusher {
    let port = arguments[2].parse().expect("a port");
    let config = Config::builder()
        .host(&arguments[1])
        .port(port)
        .use_tls(false)
        .app_id(&arguments[3])
        .key(&arguments[4])
        .secret(secret)
        .enable_retry(false);
    Pusher::new(config.build().expect("a configuration")).expect("a client")
}

fn channels(names: &[String]) -> Vec<Channel> {
    names.iter().map(|name| Channel::from_string(name).expect("a channel")).collect()
}

async fn ask(pusher: &Pusher, name: &str, path: &str, parameters: &[(&str, &str)]) {
    let all: BTreeMap<String, String> =
        parameters.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    show(name, pusher.get(path, Some(&all)).await).await;
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = env::args().collect();
    let (key, secret) = (&arguments[4], &arguments[5]);
    let pusher = client(&arguments, secret);
    let news = channels(&["news".to_string()]);
    let many: Vec<String> = (0..100).map(|i| format!("many-{i}")).collect();
    let batch = (0..10).map(|i| BatchEvent::new(format!("e{i}"), "batch", i.to_string())).collect();
    let except = TriggerParams { socket_id: Some("123.456".to_string()), ..Default::default() };
    let text = sonic_rs::json!({ "t": "é<&>/💥" });
    let count = ("info", "subscription_count");

    show("trigger", pusher.trigger(&news, "order", text, None).await).await;
    show("text", pusher.trigger(&news, "order", "hi", None).await).await;
    show("many", pusher.trigger(&channels(&many), "e", "m", None).await).await;
    show("batch", pusher.trigger_batch(batch).await).await;
    show("except", pusher.trigger(&news, "e", "m", Some(except)).await).await;
    // Its send_to_user refuses the # of the channel's name that it has made itself.
    ask(&pusher, "channels", "/channels", &[("filter_by_prefix", "news"), count]).await;
    ask(&pusher, "nobody", "/channels", &[("filter_by_prefix", "nobody-")]).await;
    ask(&pusher, "channel", "/channels/news", &[count]).await;
    ask(&pusher, "users", "/channels/presence-room/users", &[]).await;
    ask(&pusher, "users of a public channel", "/channels/news/users", &[]).await;
    show("terminate", pusher.terminate_user_connections("42").await).await;

    let socket = env::var("SOCKET_ID").expect("the id of a socket");
    let info = sonic_rs::json!({ "name": "é<" });
    let member = sonic_rs::json!({ "user_id": 7, "user_info": info.clone() });
    let private = pusher.authorize_channel_with_name(&socket, "private-x", None).expect("a signature");
    println!("{}", json!(["private", { "auth": private.auth }]));
    let presence = pusher.authorize_channel_with_name(&socket, "presence-x", Some(&member)).expect("a signature");
    println!("{}", json!(["presence", { "auth": presence.auth, "channel_data": presence.channel_data }]));
    let user = pusher.authenticate_user(&socket, &sonic_rs::json!({ "id": "7", "user_info": info })).expect("a signature");
    println!("{}", json!(["sign in", { "auth": user.auth, "user_data": user.user_data }]));

    let signature = env::var("WEBHOOK_SIGNATURE").expect("a signature");
    let body = env::var("WEBHOOK_BODY").expect("a body");
    let headers = [("X-Pusher-Key", key.as_str()), ("X-Pusher-Signature", signature.as_str()), ("Content-Type", "application/json")];
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let webhook = pusher.webhook(&headers, &body);
    assert!(webhook.is_valid(None), "the webhook is not valid");
    println!("{}", json!(["webhook", webhook.get_events().expect("events")[0].event_name()]));

    show("a wrong secret", client(&arguments, "wrong").trigger(&news, "e", "m", None).await).await;
    show("a long name", pusher.trigger(&news, &"x".repeat(201), "m", None).await).await;
    show("a large event", pusher.trigger(&news, "e", "x".repeat(70_000), None).await).await;
}
