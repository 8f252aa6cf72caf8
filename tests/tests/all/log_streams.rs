//! Many who follow the log, and some of them who don't read: nothing is kept for those, and nobody waits for them.
use std::process::Stdio;

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::Method;
use prx_tests::client::EventStream;
use prx_tests::gateway::Gateway;
use prx_tests::wait::until;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

const READERS: usize = 60;
const SLEEPERS: usize = 6;
/// Lines of 8,000 characters that are logged while the sleepers sleep: far more than the gateway keeps, and than
/// fits between it and them.
const LINES: usize = 4_000;
/// What the gateway may grow by: the recent log is 16 MiB at most, and every line for every sleeper would be 190.
const GROWTH: u64 = 80 << 20;

async fn resident(gateway: &Gateway) -> u64 {
    let client = gateway.client();
    let page = client.send(client.bare(Method::GET, "/metrics"), Bytes::new()).await;
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    line.unwrap().parse().unwrap()
}

/// Reads on until something is said; the gaps on the way.
async fn gaps_until(mut events: EventStream, word: &str) -> Vec<Value> {
    let mut gaps = Vec::new();
    loop {
        let (name, data) = events.next().await.expect("the stream goes on");
        if name == "gap" {
            gaps.push(data);
        } else if data["message"].as_str().unwrap().contains(word) {
            return gaps;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_dont_read_cost_nothing_and_learn_what_they_missed() {
    let gateway = Gateway::start("").await;
    let client = gateway.client();
    let readers = join_all((0..READERS).map(|_| client.follow("/logs/stream?module=http", None))).await;
    let sleepers = join_all((0..SLEEPERS).map(|_| client.follow("/logs/stream?module=mcp", None))).await;
    let before = resident(&gateway).await;

    // A server that says much on its standard error, which goes to the log.
    let flood = format!(
        "head -c {} /dev/zero | tr '\\0' x | fold -w 8000 >&2; echo >&2; echo all is said >&2; sleep 600",
        LINES * 8_000
    );
    let server = json!({"command": "sh", "args": ["-c", flood]});
    gateway.client().patch("/config", json!({"mcp_servers.flood": server})).await.expect(200);
    until("everything to be logged", async || {
        let logs = gateway.client().get("/logs?module=mcp&limit=1").await.expect(200);
        (logs["entries"][0]["message"] == "all is said").then_some(())
    })
    .await;
    let grown = resident(&gateway).await.saturating_sub(before);
    assert!(grown < GROWTH, "{grown} bytes for {SLEEPERS} who sleep");

    // Those who read have missed nothing.
    gateway.client().get("/skills").await.expect(200);
    let marked = readers.into_iter().map(|reader| async {
        let mut reader = reader;
        loop {
            let (name, data) = reader.next().await.expect("the stream goes on");
            assert_eq!(name, "message", "{data}");
            if data["fields"]["route"] == "/api/v1/skills" {
                return;
            }
        }
    });
    join_all(marked).await;
    let sleepers = sleepers.into_iter().map(|sleeper| gaps_until(sleeper, "all is said"));
    for gaps in join_all(sleepers).await {
        assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap["missed"].as_u64() > Some(0)), "{gaps:?}");
    }
}

#[tokio::test]
async fn the_command_line_follows_the_log() {
    let gateway = Gateway::start("").await;
    let command = gateway.home().command(&["logs", "-f", "--module", "http"]);
    let mut follower =
        tokio::process::Command::from(command).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    for path in ["/skills", "/tools"] {
        gateway.client().get(path).await.expect(200);
        loop {
            let line = lines.next_line().await.unwrap().expect("it goes on");
            assert!(line.contains(" INFO  http: request"), "{line}");
            if line.contains(&format!("route=/api/v1{path}")) {
                break;
            }
        }
    }
    gateway.stop().await;
    assert!(follower.wait().await.unwrap().success(), "it ends with the gateway");
}
