//! What the gateway adds between a model's server and whoever reads the turn: `cargo bench -p prx-tests`.
#![allow(clippy::print_stdout, reason = "a benchmark reports")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::time::Duration;

use futures_util::future::join_all;
use prx_tests::client::EventStream;
use prx_tests::gateway::Gateway;
use prx_tests::models::{Dialect, FakeModel};
use prx_tests::usage::{cpu, memory};
use serde_json::json;
use tokio::time::Instant;

const ROUNDS: usize = 300;
/// Turns at a time, tokens a second in each, and tokens in each.
const TURNS: usize = 100;
const RATE: u64 = 50;
const TOKENS: usize = 500;

#[tokio::main]
async fn main() {
    for dialect in Dialect::ALL {
        let model = FakeModel::start(dialect).await;
        let limits = "[agent]\nmax_turns = 1000000\nhistory_messages = 0\n";
        let gateway = Gateway::start(&(model.config("") + limits)).await;
        let direct = first_tokens(&model, false, async || model.open().await).await;
        let session = gateway.open_session("ada").await;
        let through = first_tokens(&model, true, async || {
            let path = format!("/sessions/{session}/messages");
            gateway.client().stream(&path, json!({"content": "Hello"})).await
        })
        .await;
        println!(
            "{}: first token, from its server's sending it to a client's reading it, {ROUNDS} times\n    directly     \
             median {:?}, 99 of 100 within {:?}\n    through prx  median {:?}, 99 of 100 within {:?}\n    added        \
             median {:?}",
            dialect.provider,
            direct[ROUNDS / 2],
            direct[ROUNDS * 99 / 100],
            through[ROUNDS / 2],
            through[ROUNDS * 99 / 100],
            through[ROUNDS / 2].saturating_sub(direct[ROUNDS / 2]),
        );
        let stopped = stops(&model, &gateway).await;
        println!(
            "{}: from asking for a stop in the middle of an answer to the end of its turn, {ROUNDS} times\n    \
             median {:?}, 99 of 100 within {:?}, longest {:?}",
            dialect.provider,
            stopped[ROUNDS / 2],
            stopped[ROUNDS * 99 / 100],
            stopped[ROUNDS - 1],
        );
        many(&model, &gateway).await;
    }
}

/// How long each first word took, in order. `whole`: the rest is read as well.
async fn first_tokens(model: &FakeModel, whole: bool, open: impl AsyncFn() -> EventStream) -> Vec<Duration> {
    let events = (model.dialect().words)(&["word"]);
    let first = events.iter().position(|event| event.contains("word")).unwrap();
    let mut took = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let (live, asked) = (model.live(), model.asked().len());
        let mut stream = open().await;
        model.until_asked(asked + 1).await;
        live.say(events[..first].concat()).await;
        let sent = Instant::now();
        live.say(events[first].clone()).await;
        while !stream.next().await.expect("the word").1.to_string().contains("word") {}
        took.push(sent.elapsed());
        live.say(events[first + 1..].concat()).await;
        drop(live);
        if whole {
            stream.rest().await;
        }
    }
    took.sort();
    took
}

/// How long each turn went on that was told to stop while its model was in the middle of an answer, in order.
async fn stops(model: &FakeModel, gateway: &Gateway) -> Vec<Duration> {
    let events = (model.dialect().words)(&["word"]);
    let first = events.iter().position(|event| event.contains("word")).unwrap();
    let session = gateway.open_session("ada").await;
    let (path, cancel) = (format!("/sessions/{session}/messages"), format!("/sessions/{session}/cancel"));
    let mut took = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let (live, asked) = (model.live(), model.asked().len());
        let mut stream = gateway.client().stream(&path, json!({"content": "Hello"})).await;
        model.until_asked(asked + 1).await;
        live.say(events[..=first].concat()).await;
        while !stream.next().await.expect("the word").1.to_string().contains("word") {}
        let told = Instant::now();
        gateway.client().post(&cancel, json!({})).await.expect(200);
        let rest = stream.rest().await;
        took.push(told.elapsed());
        assert_eq!(rest.last().map(|(name, _)| name.as_str()), Some("done"), "{rest:?}");
        drop(live);
    }
    took.sort();
    took
}

/// Many turns side by side, each at the pace of a model.
async fn many(model: &FakeModel, gateway: &Gateway) {
    model.pace(Duration::from_millis(1000 / RATE));
    let text = vec!["word"; TOKENS].join(" ");
    let sessions = join_all((0..TURNS).map(async |n| gateway.open_session(&format!("user {n}")).await)).await;
    let (began, used) = (Instant::now(), cpu(gateway.process_id()));
    let mut most = memory(gateway.process_id());
    let turns = join_all(sessions.iter().map(|session| turn(gateway, session, &text)));
    tokio::pin!(turns);
    let turns = loop {
        tokio::select! {
            turns = &mut turns => break turns,
            () = tokio::time::sleep(Duration::from_millis(250)) => {
                most = most.max(memory(gateway.process_id()));
            }
        }
    };
    let (took, used) = (began.elapsed(), cpu(gateway.process_id()) - used);
    let mut gaps: Vec<Duration> = turns.into_iter().flatten().collect();
    gaps.sort();
    println!(
        "{}: {TURNS} turns at a time of {TOKENS} tokens each, {RATE} a second: {took:?}\n    processor {:.0} % of one, \
         memory {most} MiB\n    from one token to the next: median {:?}, 999 of 1000 within {:?}, longest {:?}",
        model.dialect().provider,
        100.0 * used / took.as_secs_f64(),
        gaps[gaps.len() / 2],
        gaps[gaps.len() * 999 / 1000],
        gaps[gaps.len() - 1],
    );
}

/// A whole turn; the time from each of its tokens to the next.
async fn turn(gateway: &Gateway, session: &str, text: &str) -> Vec<Duration> {
    let path = format!("/sessions/{session}/messages");
    let mut stream = gateway.client().stream(&path, json!({"content": text})).await;
    let (mut gaps, mut before, mut said) = (Vec::new(), None::<Instant>, String::new());
    while let Some((name, data)) = stream.next().await {
        assert_ne!(name, "error", "{data}");
        if name == "token" {
            said.push_str(data["text"].as_str().unwrap());
            let now = Instant::now();
            gaps.extend(before.map(|before| now - before));
            before = Some(now);
        }
    }
    assert_eq!(said, format!("You said: {text}"));
    gaps
}
