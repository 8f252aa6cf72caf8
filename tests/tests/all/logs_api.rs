//! The recent log over HTTP: asked for and followed.
use std::time::Duration;

use prx_tests::client::EventStream;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::wait::until;
use serde_json::{Value, json};

/// A turn logs under `agent::loop`.
async fn talk(gateway: &Gateway, text: &str) -> String {
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    gateway.client().post(&path, json!({"content": text})).await.expect(200);
    session
}

async fn entries(gateway: &Gateway, query: &str) -> Vec<Value> {
    let answer = gateway.client().get(&format!("/logs{query}")).await.expect(200);
    answer["entries"].as_array().unwrap().clone()
}

/// Reads until an entry says this; how many events that took.
async fn until_said(events: &mut EventStream, word: &str) -> Vec<Value> {
    let mut read = Vec::new();
    loop {
        let (name, data) = events.next().await.expect("the stream goes on");
        assert!(name == "message" || name == "gap", "{name}");
        let found = data.to_string().contains(word);
        read.push(data);
        if found {
            return read;
        }
    }
}

#[tokio::test]
async fn entries_are_as_on_the_page() {
    let gateway = Gateway::start("").await;
    let session = talk(&gateway, "/summarize one. two.").await;
    let all = entries(&gateway, "?limit=1000").await;
    for entry in &all {
        let fields = entry.as_object().unwrap();
        for name in ["timestamp", "level", "module", "message"] {
            assert!(fields[name].is_string(), "{entry}");
        }
        let time = entry["timestamp"].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "to the millisecond: {time}");
        assert!(fields.keys().all(|key| {
            ["timestamp", "level", "module", "message", "session_id", "fields"].contains(&key.as_str())
        }));
    }
    let times: Vec<_> = all.iter().map(|entry| entry["timestamp"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "newest last");
    let turn = entries(&gateway, "?module=agent").await;
    assert!(turn.iter().all(|entry| entry["module"] == "agent::loop"), "{turn:?}");
    assert!(turn.iter().any(|entry| entry["session_id"] == session.as_str()), "{turn:?}");
    assert!(!entries(&gateway, "?module=plugin::local").await.is_empty());
    assert!(entries(&gateway, "?module=agen").await.is_empty(), "a module matches by whole parts");
    assert!(entries(&gateway, "?level=error").await.is_empty());
    assert_eq!(entries(&gateway, "?limit=1").await.len(), 1);
    let answer = gateway.client().get("/logs?limit=1").await.expect(200);
    assert!(answer["total"].as_u64() > Some(1), "the total is of all that match: {answer}");
    for since in ["1h", "30m", "2020-01-01T00:00:00Z", "2020-01-01", "2020-01-01T00:00:00.5%2B02:00"] {
        assert!(!entries(&gateway, &format!("?since={since}")).await.is_empty(), "{since}");
    }
    assert!(entries(&gateway, "?since=2999-01-01T00:00:00Z").await.is_empty());
}

#[tokio::test]
async fn a_parameter_that_makes_no_sense_is_named() {
    let gateway = Gateway::start("").await;
    for (query, words) in [
        ("level=loud", &["`level`", "trace", "error"][..]),
        ("limit=0", &["`limit`", "1 to 1000"]),
        ("limit=1001", &["`limit`", "1 to 1000"]),
        ("since=yesterday", &["`since`", "ISO 8601", "1h"]),
        ("stream=maybe", &["`stream`", "true", "false"]),
        ("level=info&level=warn", &["`level`", "once"]),
    ] {
        let paths = if query.starts_with("stream") { &["/logs"][..] } else { &["/logs", "/logs/stream"] };
        for path in paths {
            let refused = gateway.client().get(&format!("{path}?{query}")).await.error(400, "bad_request");
            assert!(words.iter().all(|word| refused.contains(word)), "{query}: {refused}");
        }
    }
    let request = gateway.client().request(hyper::Method::GET, "/logs/stream").header("last-event-id", "x");
    let refused = gateway.client().send(request, bytes::Bytes::new()).await.error(400, "bad_request");
    assert!(refused.contains("Last-Event-ID"), "{refused}");
}

#[tokio::test]
async fn who_comes_back_misses_nothing() {
    let gateway = Gateway::start("").await;
    let mut events = gateway.client().follow("/logs/stream?module=http", None).await;
    let session = gateway.open_session("ada").await;
    gateway.client().get(&format!("/sessions/{session}")).await.expect(200);
    until_said(&mut events, "/sessions/{id}").await;
    let id = events.id().unwrap().to_owned();
    drop(events);
    gateway.client().get("/tools").await.expect(200);
    gateway.client().get("/skills").await.expect(200);
    let mut events = gateway.client().follow("/logs?stream=true&module=http", Some(&id)).await;
    let read = until_said(&mut events, "/skills").await;
    assert!(read.iter().any(|entry| entry.to_string().contains("/tools")), "{read:?}");

    let mut recent = gateway.client().follow("/logs/stream?module=http&limit=2", None).await;
    until_said(&mut recent, "/skills").await;

    // Of what an earlier gateway said, nobody knows.
    let gateway = gateway.restart().await;
    let mut events = gateway.client().follow("/logs/stream", Some(&id)).await;
    assert_eq!(events.next().await.unwrap(), ("gap".to_owned(), json!({"missed": null})));
    assert_eq!(events.next().await.unwrap().0, "message");
}

#[tokio::test]
async fn who_is_too_slow_is_told_what_is_missing() {
    let gateway = Gateway::start("[logs]\nretain_entries = 100\n").await;
    let mut events = gateway.client().follow("/logs/stream?limit=1", None).await;
    events.next().await.unwrap();
    let id = events.id().unwrap().to_owned();
    drop(events);
    for _ in 0..150 {
        gateway.client().get("/status").await.expect(200);
    }
    let mut events = gateway.client().follow("/logs/stream", Some(&id)).await;
    let (name, data) = events.next().await.unwrap();
    assert_eq!(name, "gap");
    assert!(data["missed"].as_u64() >= Some(45), "{data}");
}

#[tokio::test]
async fn streams_end_with_the_gateway() {
    let gateway = Gateway::start("").await;
    let logs = gateway.client().follow("/logs/stream", None).await;
    let events = gateway.client().follow("/events", None).await;
    let stopping = tokio::time::timeout(Duration::from_secs(6), gateway.stop());
    let (stopped, _, _) = tokio::join!(stopping, logs.rest(), events.rest());
    assert!(stopped.is_ok(), "no stream holds the gateway up");
}

#[tokio::test]
async fn a_log_line_stays_one_line() {
    let gateway = Gateway::start("").await;
    let forged = "x\nINFO forged: \u{1b}[31mred";
    let session = json!({"channel": "api", "user_id": forged});
    let refused = gateway.client().post("/sessions", session).await.error(400, "bad_request");
    assert!(refused.contains("`user_id`") && refused.contains("\\u{a}"), "{refused}");
    gateway.client().get("/plugins/%1b%5b31m%0aforged").await.error(404, "not_found");
    let lines = gateway.output().lines();
    assert!(
        lines.iter().all(|line| !line.contains('\u{1b}') && !line.starts_with("INFO forged")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn the_command_line_reads_the_log() {
    let gateway = Gateway::start("").await;
    talk(&gateway, "good morning").await;
    let said = gateway.home().run(&["logs", "--module", "http", "--limit", "5"]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("INFO  http: request"), "{}", said.stdout);
    let said = gateway.home().run(&["logs", "--json"]).await;
    assert!(serde_json::from_str::<Value>(&said.stdout).unwrap()["total"].is_u64());
    let said = gateway.home().run(&["logs", "--since", "never"]).await;
    assert!(said.code == Some(1) && said.stderr.contains("since"), "{said:?}");
}

#[tokio::test]
async fn the_log_goes_to_a_file_that_makes_room_and_is_opened_anew_when_asked() {
    let home = Home::new("");
    let file = home.path().join("prx.log");
    let logs = |more: &str| format!("[logs]\nfile = {file:?}\nfile_keep = 2\n{more}\n");
    home.append(&logs("file_max_bytes = 4096\n[logs.modules]\nhttp = \"debug\"\nplugin = \"warn\""));
    let gateway = Gateway::start_in(home).await;
    let read = |name: &str| std::fs::read_to_string(gateway.home().path().join(name)).unwrap_or_default();
    // A line of the access log each; probes have theirs at `debug`.
    until("the oldest to go", async || {
        gateway.client().get("/status/health").await.expect(200);
        (!read("prx.log.2").is_empty()).then_some(())
    })
    .await;
    let sizes = ["prx.log", "prx.log.1", "prx.log.2"].map(|name| read(name).len());
    assert!(sizes.iter().all(|size| (1..=4096).contains(size)), "{sizes:?}");
    assert!(read("prx.log.1").contains("/api/v1/status/health") && !read("prx.log.1").contains('\u{1b}'));
    assert!(!gateway.output().says(&["plugin loaded"]), "modules have levels of their own");

    // Whoever rotates by other means moves it away, and sends the signal.
    let moved = gateway.home().path().join("moved.log");
    std::fs::rename(&file, &moved).unwrap();
    gateway.signal(rustix::process::Signal::HUP);
    until("a new file", async || read("prx.log").contains("read again").then_some(())).await;

    // A file that can't be written is said, and everything goes on.
    let elsewhere = gateway.home().path().join("nowhere").join("prx.log");
    gateway.client().patch("/config", json!({"logs.file": elsewhere})).await.expect(200);
    let issue = until("the issue", async || {
        let status = gateway.client().get("/status").await.expect(200);
        let details = status["issue_details"].as_array().cloned().unwrap_or_default();
        details.into_iter().find(|issue| issue["kind"] == "logs")
    })
    .await;
    assert!(issue["problem"].as_str().unwrap().contains("nowhere"), "{issue}");
    let wrong = gateway.client().patch("/config", json!({"logs.modules": {"chanel": "debug"}})).await;
    let told = wrong.error(400, "bad_request");
    assert!(told.contains("channel"), "{told}");
}
