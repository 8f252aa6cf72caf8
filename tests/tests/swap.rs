//! Components are swapped under load: no request fails, no message is lost or doubled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::Method;
use prx_tests::client::Client;
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::telegram::FakeTelegram;
use prx_tests::wait::until;
use serde_json::json;
use tokio::task::JoinHandle;

const RELOADS: usize = 50;
const CLIENTS: usize = 4;

#[tokio::test]
async fn fifty_reloads_each_go_unnoticed() {
    let telegram = FakeTelegram::start().await;
    let config = telegram.config(&["*"]) + "[agent]\nmax_turns = 1000000\n";
    let gateway = Gateway::start_in(Home::new(&config)).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let session = gateway.open_session(&format!("client {n}")).await;
        clients.push((session.clone(), chatter(gateway.client().clone(), session, Arc::clone(&over))));
    }

    let mut written = 0;
    for round in 0..RELOADS {
        for plugin in ["telegram", "skills", "local"] {
            telegram.write(1 + (written % 4), &format!("[{written:04}]"));
            written += 1;
            let path = format!("/plugins/{plugin}/reload");
            let reloaded = gateway.client().post(&path, json!({})).await.expect(200);
            assert_eq!(reloaded["status"], "loaded", "{plugin}, round {round}");
        }
    }
    over.store(true, Ordering::Relaxed);

    for (session, chatter) in clients {
        let said = chatter.await.unwrap();
        let messages = gateway.messages(&session).await;
        assert!(said > 0, "every client was heard");
        assert_eq!(messages.len(), 2 * said, "no message lost, none doubled");
        for (n, turn) in messages.chunks(2).enumerate() {
            assert!(turn[0].1.contains(&format!("[{n:05}]")), "in order: {turn:?}");
        }
    }
    let count = written as usize;
    telegram.until("every chat message to be answered", |t| (t.sent().len() >= count).then_some(())).await;
    let mut heard = gateway.heard("telegram").await;
    heard.sort();
    assert_eq!(heard, (0..written).map(|n| format!("[{n:04}]")).collect::<Vec<_>>());
    gateway.stop().await;
    for n in 0..written {
        let answers =
            telegram.sent_to(1 + (n % 4)).iter().filter(|text| text.contains(&format!("[{n:04}]"))).count();
        assert_eq!(answers, 1, "message {n}");
    }
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
    assert_eq!(telegram.overlapping_polls(), 0, "the poll is not torn down by a swap");
}

#[tokio::test]
async fn a_connector_that_waits_is_swapped_at_once() {
    let telegram = FakeTelegram::start().await;
    let gateway = Gateway::start(&telegram.config(&["*"])).await;
    let polls = |telegram: &FakeTelegram| telegram.calls("getUpdates").len();
    telegram
        .until("the long poll", |t| {
            t.calls("getUpdates").last().filter(|c| c.parameters["timeout"] != 0).map(|_| ())
        })
        .await;
    let before = polls(&telegram);
    gateway.client().post("/plugins/telegram/reload", json!({})).await.expect(200);
    until("the swap", async || gateway.output().says(&["code was swapped"]).then_some(())).await;
    assert_eq!(polls(&telegram), before, "the poll that was open goes on");
    telegram.write(1, "to the new code");
    telegram.until("an answer", |t| (!t.sent().is_empty()).then_some(())).await;
    gateway.stop().await;
}

/// Says one thing after the other until it is over; how many it said. Every second one brings a skill in.
fn chatter(client: Client, session: String, over: Arc<AtomicBool>) -> JoinHandle<usize> {
    let path = format!("/sessions/{session}/messages");
    tokio::spawn(async move {
        let mut said = 0;
        while !over.load(Ordering::Relaxed) {
            let skill = if said % 2 == 1 { "/summarize " } else { "" };
            let text =
                format!("{skill}[{said:05}] One sentence says a thing. Another sentence says one more.");
            client.post(&path, json!({"content": text})).await.expect(200);
            said += 1;
        }
        said
    })
}

#[tokio::test]
async fn a_connector_that_fails_on_its_first_event_is_rolled_back() {
    let telegram = FakeTelegram::start().await;
    let gateway = Gateway::start(&telegram.config(&["*"])).await;
    telegram.write(1, "before");
    telegram.until("the first answer", |t| (t.sent().len() == 1).then_some(())).await;
    let stumbling = Component::of("stumbling").bytes();
    let replaced =
        gateway.client().upload(Method::PUT, "/plugins/telegram", "application/wasm", stumbling).await;
    assert_eq!(replaced.expect(200)["version"], "9.9.9", "it compiles, links and starts");
    until("the way back", async || gateway.output().says(&["code before took over again"]).then_some(()))
        .await;
    telegram.write(1, "after");
    telegram.until("the second answer", |t| (t.sent().len() == 2).then_some(())).await;
    assert_eq!(gateway.channel("telegram").await.unwrap()["status"], "connected");
    gateway.client().delete("/plugins/telegram").await.expect(204);
    telegram.write(1, "at last");
    telegram.until("the third answer", |t| (t.sent().len() == 3).then_some(())).await;
    gateway.stop().await;
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
}
