//! The gateway as a process: what a full disk, signals, and a stop in the midst of everything do to it, and what is left of
//! its children.
use std::fs;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use prx_tests::client::{Answer, Client};
use prx_tests::gateway::Gateway;
use prx_tests::receiver::Receiver;
use prx_tests::scripted;
use prx_tests::system::{System, post};
use prx_tests::wait::until;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::{Value, json};

async fn get(gateway: &Gateway, path: &str) -> Answer {
    let client = gateway.client();
    client.send(client.bare(Method::GET, path), Bytes::new()).await
}

/// How large a file of the gateway may be from here on. A write beyond that fails, as on a full disk.
fn limit_files(gateway: &Gateway, bytes: Option<u64>) {
    let process = Pid::from_raw(gateway.process_id().try_into().unwrap());
    let limit = Rlimit { current: bytes, maximum: None };
    prlimit(process, Resource::Fsize, limit).expect("a limit can be lowered and raised again");
}

async fn say(client: &Client, id: &str, conversation: &str, text: &str) -> u16 {
    let message =
        json!({"id": id, "conversation": conversation, "user": {"id": "u-1", "name": "Ada"}, "text": text});
    post(client, "ops", id, &message).await.map_or(0, |answer| answer.status)
}

/// Fills the disk under load. What was acknowledged: the sessions, and the conversations with a message in them.
async fn fill_disk(gateway: &Gateway) -> (Vec<String>, Vec<String>) {
    let size = fs::metadata(gateway.home().data().join("prx.redb")).unwrap().len();
    limit_files(gateway, Some(size + (256 << 10)));
    let (mut sessions, mut conversations) = (Vec::new(), Vec::new());
    let large = json!({"metadata": {"note": "x".repeat(15_000)}, "user_id": "ada"});
    for n in 0.. {
        let (conversation, client) = (format!("c-{n}"), gateway.client());
        let (created, taken) = tokio::join!(
            client.post("/sessions", large.clone()),
            say(client, &conversation, &conversation, "Hello")
        );
        if created.status == 201 {
            sessions.push(created.expect(201)["id"].as_str().unwrap().to_owned());
        } else {
            created.error(503, "unavailable");
        }
        match taken {
            200 => conversations.push(conversation),
            _ if get(gateway, "/livez").await.status == 503 => break,
            _ => {}
        }
    }
    // From here on not even the test whether it takes something again succeeds.
    limit_files(gateway, Some(4096));
    (sessions, conversations)
}

#[tokio::test]
async fn a_disk_that_was_full_is_used_again_by_itself_and_nothing_acknowledged_is_lost() {
    let (system, receiver) = (System::start().await, Receiver::start().await);
    let script = json!([
        {"when": "slow", "answers": [[{"wait_ms": 4_000}, {"text": "Slow but sure."}]]},
        {"answers": [[{"text": "Hello yourself."}]]},
    ]);
    let config = system.config("ops") + "[hooks]\nallow_private = true\n";
    let gateway = Gateway::start_in(scripted::home(&script, &config)).await;
    let client = gateway.client();
    let hook = json!({"url": receiver.url(), "events": ["session.created"]});
    client.post("/hooks", hook).await.expect(201);
    until("the channel to run", async || (say(client, "slow", "slow", "slow").await == 200).then_some(()))
        .await;
    let (sessions, conversations) = fill_disk(&gateway).await;

    until("the store to stay as it is", async || (get(&gateway, "/livez").await.status == 503).then_some(()))
        .await;
    let told = get(&gateway, "/livez").await.expect(503);
    assert_eq!(told["live"], false);
    assert!(told["reason"].as_str().unwrap().contains("File too large"), "{told}");
    for path in ["/api/v1/status/health", "/readyz"] {
        assert_eq!(get(&gateway, path).await.status, 503, "{path}");
    }
    let doctor = gateway.home().run(&["doctor"]).await;
    assert!(doctor.stdout.contains("the store is opened anew every few seconds"), "{}", doctor.stdout);
    client.post("/sessions", json!({"user_id": "ada"})).await.error(503, "unavailable");
    assert_eq!(say(client, "late", "late", "Hello").await, 503, "the platform is told to say it again");

    limit_files(&gateway, None);
    until("the store to be open again", async || (get(&gateway, "/livez").await.status == 200).then_some(()))
        .await;
    until("what was refused to be taken", async || {
        (say(client, "late", "late", "Hello").await == 200).then_some(())
    })
    .await;
    for id in &sessions {
        client.get(&format!("/sessions/{id}")).await.expect(200);
    }
    let replies = system.until(conversations.len() + 2).await;
    for conversation in conversations.iter().map(String::as_str).chain(["slow", "late"]) {
        let its = replies.iter().filter(|reply| reply["conversation"] == conversation);
        assert!(its.count() >= 1, "{conversation} is answered");
    }
    let heard = until("the hook to hear of every session", async || {
        let heard: Vec<Value> =
            receiver.received().iter().map(|sent| sent.json()["data"]["session_id"].clone()).collect();
        sessions.iter().all(|id| heard.contains(&json!(id))).then_some(heard)
    })
    .await;
    assert!(heard.len() >= sessions.len());
    let status = until("everything to be well", async || {
        Some(client.get("/status").await.expect(200)).filter(|status| status["status"] == "healthy")
    });
    tokio::time::timeout(Duration::from_secs(60), status).await.expect("nothing is left of it");

    limit_files(&gateway, Some(4096));
    client.post("/sessions", json!({"user_id": "ada"})).await.error(503, "unavailable");
    let output = gateway.output().clone();
    let (code, home) = gateway.end(Signal::TERM).await;
    assert_eq!(code, Some(1), "not everything could be brought to disk");
    assert!(output.says(&["prx: the store could not be brought to disk"]), "{}", output.tail());
    let gateway = Gateway::start_in(home).await;
    assert_eq!(
        gateway.messages(&gateway.sessions("ops").await[0]["id"].as_str().unwrap().to_owned()).await.len(),
        2
    );
    gateway.stop().await;
}
