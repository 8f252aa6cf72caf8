//! WebSockets of connectors: kept alive, swapped under, bounded, and never left in the dark.
use std::time::Duration;

use futures_util::future::join_all;
use hyper::Method;
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::sockets::{Peer, SocketServer};
use prx_tests::system::System;
use prx_tests::wait::until;
use serde_json::{Value, json};

const TOKEN: &str = "canary-7f3a9c/+socket";

/// A gateway with the connector `talking` under these names, each with a server of its own.
async fn gateway(channels: &[(&str, &SocketServer)]) -> Gateway {
    let table = |(name, server): &(&str, &SocketServer)| {
        let url = server.url();
        format!("[channels_config.{name}]\nplugin = \"talking\"\ngateway_url = {url:?}\ntoken = {TOKEN:?}\n")
    };
    let config: String = channels.iter().map(table).collect();
    let home = Home::new(&(config + "[agent]\nmax_turns = 1000000\n"));
    home.place_plugin("talking", &Component::of("talking").bytes());
    Gateway::start_in(home).await
}

/// Says hello; what the connector identifies itself with.
async fn hello(peer: &mut Peer, interval: u64) -> Value {
    peer.send(json!({"op": "hello", "interval": interval})).await;
    peer.receive("identify").await
}

async fn say(peer: &mut Peer, id: &str, text: &str) {
    peer.send(json!({"op": "say", "id": id, "who": "ada", "text": text})).await;
}

/// The connector's answer to being asked how many frames it was handed.
async fn count(peer: &mut Peer) -> u64 {
    peer.send(json!({"op": "count"})).await;
    peer.receive("count").await["count"].as_u64().unwrap()
}

#[tokio::test]
async fn a_socket_carries_secrets_messages_and_beats_and_outlives_a_swap() {
    let server = SocketServer::start().await;
    let gateway = gateway(&[("talking", &server)]).await;
    let mut peer = server.accept().await;
    assert_eq!(peer.authorization, format!("Bearer {TOKEN}"));
    assert_eq!(peer.target, "/?key=canary-7f3a9c%2F%2Bsocket");
    assert_eq!(hello(&mut peer, 4_000).await["token"], TOKEN);
    peer.receive("beat").await;
    let health = until("a round trip", async || {
        let health = gateway.client().get("/channels/talking/health").await.expect(200);
        health["latency_ms"].is_number().then_some(health)
    })
    .await;
    assert!(health["latency_ms"].as_u64().unwrap() < 60_000, "an acknowledged beat is proof: {health}");
    assert_eq!(gateway.channel("talking").await.unwrap()["status"], "connected");

    say(&mut peer, "m-1", "before the swap").await;
    assert!(peer.receive("reply").await["text"].as_str().unwrap().contains("before the swap"));
    gateway.client().post("/plugins/talking/reload", json!({})).await.expect(200);
    let resumed = peer.receive("resumed").await;
    assert_eq!(resumed["sockets"].as_array().map(Vec::len), Some(1), "{resumed}");
    say(&mut peer, "m-1", "it came before").await;
    say(&mut peer, "m-2", "after the swap").await;
    assert!(peer.receive("reply").await["text"].as_str().unwrap().contains("after the swap"));
    peer.receive("beat").await;
    peer.send_bytes(vec![0, 0xff, 7]).await;
    assert_eq!(peer.receive_bytes().await, [0, 0xff, 7]);
    assert_eq!(gateway.heard("talking").await, ["before the swap", "after the swap"]);
    assert_eq!(server.accepted(), 1, "the connection is the kernel's, not the code's");
    assert!(!gateway.output().says(&["canary"]), "the token is in no line of the log");
    gateway.stop().await;
    assert_eq!(peer.closed().await, 4001, "the connector closes, so that the platform keeps the session");
}

#[tokio::test]
async fn a_deaf_platform_is_noticed_and_left() {
    let server = SocketServer::start().await;
    let gateway = gateway(&[("talking", &server)]).await;
    let mut peer = server.accept().await;
    hello(&mut peer, 200).await;
    let code = peer.closed().await;
    assert!(code >= 4000, "neither 1000 nor 1001, which would end the session: {code}");
    let mut peer = server.accept().await;
    let closed = &hello(&mut peer, 200).await["closed"];
    assert_eq!((&closed["silent"], &closed["code"]), (&json!(true), &Value::Null), "{closed}");
    gateway.stop().await;
}

#[tokio::test]
async fn silence_costs_the_connection_before_it_costs_the_connector() {
    let server = SocketServer::start().await;
    let gateway = gateway(&[("talking", &server)]).await;
    let mut peer = server.accept().await;
    hello(&mut peer, 60_000).await;
    peer.send(json!({"op": "prove", "good_for": 300})).await;
    let code = peer.closed().await;
    assert!(code >= 4000, "neither 1000 nor 1001, which would end the session: {code}");
    let channel = gateway.channel("talking").await.unwrap();
    assert_ne!(channel["status"], "connected", "{channel}");
    assert!(channel["last_error"].as_str().unwrap_or_default().contains("nothing heard"), "{channel}");
    let mut peer = server.accept().await;
    let closed = &hello(&mut peer, 60_000).await["closed"];
    assert_eq!((&closed["silent"], &closed["code"]), (&json!(true), &Value::Null), "it is told: {closed}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_platform_that_only_calls_is_not_left_for_its_silence() {
    let (quiet_server, server) = (SocketServer::start().await, SocketServer::start().await);
    let table = |name: &str, server: &SocketServer| {
        format!("[channels_config.{name}]\ngateway_url = {:?}\ntoken = {TOKEN:?}\n", server.url())
    };
    let home = Home::new(&(table("quiet", &quiet_server) + &table("talking", &server)));
    home.place_plugin("talking", &Component::of("talking").bytes());
    let manifest = include_str!("../../guests/talking.toml").replace("\"talking\"", "\"quiet\"");
    let manifest = manifest.replace("[channel]\n", "[channel]\nquiet = true\n");
    home.place_plugin("quiet", &Component::of("talking").with_manifest(&manifest).bytes());
    let gateway = Gateway::start_in(home).await;
    let (mut quiet, mut other) = (quiet_server.accept().await, server.accept().await);
    for peer in [&mut quiet, &mut other] {
        hello(peer, 60_000).await;
        peer.send(json!({"op": "prove", "good_for": 300})).await;
        count(peer).await;
    }
    other.closed().await;
    assert_eq!(gateway.channel("quiet").await.unwrap()["status"], "connected");
    assert_eq!(count(&mut quiet).await, 4, "its socket is as good as before");
    gateway.stop().await;
}

#[tokio::test]
async fn a_platform_whose_webhook_is_not_answered_is_told_so_and_only_so_many_wait() {
    let server = SocketServer::start().await;
    let gateway = gateway(&[("talking", &server)]).await;
    let _peer = server.accept().await;
    // This connector takes webhooks, and answers none.
    let client = gateway.client().with_token(None);
    let knock = || client.send(client.bare(Method::POST, "/in/talking"), "hello".into());
    let answers = join_all((0..80).map(|_| knock())).await;
    let with = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((with(504), with(503)), (64, 16), "{:?}", answers[0]);
    let late = answers.iter().find(|answer| answer.status == 504).unwrap();
    assert!(late.error(504, "gateway_timeout").contains("did not answer in 10 seconds"));
    let full = answers.iter().find(|answer| answer.status == 503).unwrap();
    assert!(full.error(503, "unavailable").contains("too many webhooks"));
    gateway.stop().await;
}

#[tokio::test]
async fn closing_comes_with_its_code_from_either_side() {
    let server = SocketServer::start().await;
    let gateway = gateway(&[("talking", &server)]).await;
    let mut peer = server.accept().await;
    hello(&mut peer, 10_000).await;
    peer.close(4009).await;
    let mut peer = server.accept().await;
    let closed = hello(&mut peer, 10_000).await["closed"].clone();
    assert_eq!((&closed["code"], &closed["silent"]), (&json!(4009), &json!(false)), "{closed}");
    assert_eq!(closed["reason"], "as the test says");

    peer.send(json!({"op": "close", "code": 4321})).await;
    assert_eq!(peer.closed().await, 4321);
    assert!(server.is_left_alone(Duration::from_millis(300)).await, "who closes is not told of it");
    gateway.client().post("/channels/talking/restart", json!({})).await.expect(200);
    let mut peer = server.accept().await;
    hello(&mut peer, 10_000).await;
    drop(peer);
    let mut peer = server.accept().await;
    let closed = hello(&mut peer, 10_000).await["closed"].clone();
    assert_eq!(closed["code"], Value::Null, "it was cut off: {closed}");
    gateway.client().post("/plugins/talking/disable", json!({})).await.expect(200);
    assert_eq!(peer.closed().await, 1000);
    gateway.stop().await;
}

#[tokio::test]
async fn what_breaks_the_rules_costs_one_connection_and_one_line() {
    let server = SocketServer::start().await;
    let gateway = gateway(&[("talking", &server)]).await;
    let huge = [0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0];
    let masked = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
    for (bytes, code) in [(&huge[..], 1009), (&masked, 1002), (&huge, 1009), (&[0xc1, 0], 1002)] {
        let mut peer = server.accept().await;
        hello(&mut peer, 10_000).await;
        peer.send_raw(bytes).await;
        assert_eq!(peer.closed().await, code);
    }
    let mut peer = server.accept().await;
    hello(&mut peer, 10_000).await;
    for text in ["", "{", "{\"op\":", "[1,2", "null", "{\"op\":[]}", "{\"op\":\"hello\",\"interval\":-1"] {
        peer.send_text(text).await;
    }
    say(&mut peer, "m-1", "still there").await;
    assert!(peer.receive("reply").await["text"].as_str().unwrap().contains("still there"));
    let lines = gateway.output().lines();
    let told = |kind: &str| {
        lines.iter().filter(|line| line.contains("a socket failed") && line.contains(kind)).count()
    };
    assert_eq!((told("TooLarge"), told("Protocol")), (1, 1), "each kind is told once");
    gateway.stop().await;
}

#[tokio::test]
async fn a_flood_has_to_wait_and_loses_nothing() {
    const FLOOD: u64 = 1_500;
    let server = SocketServer::start().await;
    let gateway = gateway(&[("talking", &server)]).await;
    let mut peer = server.accept().await;
    hello(&mut peer, 1_000).await;
    let before = count(&mut peer).await;
    // Far more than may wait before the connector, which takes about 3 ms for each.
    let work = json!({"op": "work", "rounds": 3_000_000, "text": "x".repeat(2_000)}).to_string();
    for _ in 0..FLOOD {
        peer.send_text(&work).await;
    }
    say(&mut peer, "m-1", "at last").await;
    // The acknowledgements come behind the flood. What is late because nobody listened is no sign of deafness.
    assert!(peer.receive("reply").await["text"].as_str().unwrap().contains("at last"));
    let acknowledgements = count(&mut peer).await - before - FLOOD - 2;
    assert!(acknowledgements < 1_000, "every frame was handled once");
    assert_eq!(server.accepted(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_connector_may_not_do_ends_at_once() {
    let server = SocketServer::start().await;
    let other = SocketServer::start().await;
    let gateway = gateway(&[("talking", &server)]).await;
    let mut peer = server.accept().await;
    hello(&mut peer, 10_000).await;
    peer.send(json!({"op": "go", "url": other.url()})).await;
    let refused = peer.receive("refused").await["closed"].clone();
    assert_eq!((&refused["socket"], &refused["silent"]), (&json!(0), &json!(false)));
    assert!(refused["reason"].as_str().unwrap().contains("not among the granted origins"), "{refused}");
    assert!(!refused.to_string().contains("canary"), "{refused}");
    assert!(other.is_left_alone(Duration::from_millis(100)).await);

    peer.send(json!({"op": "shout", "bytes": 3 << 20})).await;
    assert_eq!(peer.receive_bytes().await.len(), 3 << 20);
    for frame in [json!({"op": "reveal"}), json!({"op": "shout", "bytes": 5 << 20})] {
        peer.send(frame).await;
        peer.closed().await;
        peer = server.accept().await;
        let closed = hello(&mut peer, 10_000).await["closed"].clone();
        let reason = closed["reason"].as_str().unwrap();
        assert!(reason.contains("is not granted") || reason.contains("larger than"), "{closed}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_that_came_before_the_plugin_was_disabled_counts() {
    let (server, system) = (SocketServer::start().await, System::start().await);
    let home = Home::new(&format!(
        "[channels_config.talking]\ngateway_url = {:?}\nreply_url = {:?}\ntoken = {TOKEN:?}\n",
        server.url(),
        system.reply_url()
    ));
    home.place_plugin("talking", &Component::of("talking").bytes());
    let gateway = Gateway::start_in(home).await;
    let mut peer = server.accept().await;
    hello(&mut peer, 60_000).await;
    system.hold(true);
    say(&mut peer, "m-1", "first").await;
    system.posted(1).await;
    // While the connector works on this, the answer comes in, and the plugin goes.
    peer.send(json!({"op": "work", "rounds": 500_000_000_u64})).await;
    system.hold(false);
    system.until(1).await;
    gateway.client().post("/plugins/talking/disable", json!({})).await.expect(200);
    peer.closed().await;
    gateway.client().post("/plugins/talking/enable", json!({})).await.expect(200);
    let mut peer = server.accept().await;
    hello(&mut peer, 60_000).await;
    say(&mut peer, "m-2", "second").await;
    let replies = system.until(2).await;
    assert!(replies[1]["text"].as_str().unwrap().contains("second"), "nothing goes out twice: {replies:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn two_channels_of_one_plugin_know_nothing_of_each_other() {
    let (one, two) = (SocketServer::start().await, SocketServer::start().await);
    let gateway = gateway(&[("home", &one), ("work", &two)]).await;
    let (mut home, mut work) = (one.accept().await, two.accept().await);
    hello(&mut home, 10_000).await;
    hello(&mut work, 10_000).await;
    say(&mut home, "m-1", "from home").await;
    say(&mut work, "m-1", "from work").await;
    assert!(home.receive("reply").await["text"].as_str().unwrap().contains("from home"));
    assert!(work.receive("reply").await["text"].as_str().unwrap().contains("from work"));
    assert_eq!(gateway.heard("home").await, ["from home"]);
    assert_eq!(gateway.heard("work").await, ["from work"], "the same id elsewhere is another message");
    home.send_text("one more frame").await;
    assert_eq!((count(&mut home).await, count(&mut work).await), (4, 3), "their states are apart");

    gateway.client().post("/channels/work/restart", json!({})).await.expect(200);
    assert_eq!(work.closed().await, 4001);
    let mut work = two.accept().await;
    hello(&mut work, 10_000).await;
    say(&mut home, "m-2", "and again").await;
    assert!(home.receive("reply").await["text"].as_str().unwrap().contains("and again"));
    assert_eq!((one.accepted(), two.accepted()), (1, 2));
    let replaced = Component::of("talking").bytes();
    gateway.client().upload(Method::PUT, "/plugins/talking", "application/wasm", replaced).await.expect(200);
    home.receive("resumed").await;
    work.receive("resumed").await;
    gateway.stop().await;
}
