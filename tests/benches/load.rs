//! What many conversations at once cost, over one connector: `cargo bench -p prx-tests --bench load`.
#![allow(clippy::print_stdout, reason = "a benchmark reports")]
#![allow(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::time::Duration;

use prx_tests::gateway::Gateway;
use prx_tests::telegram::FakeTelegram;
use prx_tests::usage::{cpu, memory};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

const CONVERSATIONS: usize = 1000;
/// Messages a second, and for how long.
const RATE: u64 = 200;
const SECONDS: u64 = 60;
/// Messages that are written one at a time before, each when the one before it is answered.
const ALONE: usize = 100;
/// How long after the last message was written its reply may still come.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() {
    let telegram = FakeTelegram::start().await;
    let config = telegram.config(&["*"]) + "stream_mode = \"off\"\n[agent]\nmax_turns = 1000000\n";
    let gateway = Gateway::start(&config).await;
    let process = gateway.process_id();
    telegram.write(1, "Hello");
    telegram.until("an answer", |t| t.sent().first().cloned()).await;

    let mut written = Vec::new();
    for n in 0..ALONE {
        written.push(write(&telegram, n));
        answered(&telegram, n + 1).await;
    }
    report("one at a time", &latencies(&telegram, &written, 0));

    let (idle, began, used) = (memory(process), Instant::now(), cpu(process));
    let mut pace = interval(Duration::from_secs(1) / u32::try_from(RATE).expect("a rate"));
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (total, mut most) = (usize::try_from(RATE * SECONDS).expect("a count"), idle);
    for n in ALONE..ALONE + total {
        pace.tick().await;
        written.push(write(&telegram, n));
        if n % 100 == 0 {
            most = most.max(memory(process));
        }
    }
    let wrote = began.elapsed();
    let behind = written.len() - sent(&telegram);
    let drained = Instant::now();
    timeout(ANSWER_TIMEOUT, answered(&telegram, written.len())).await.expect("all of it is answered");
    let (drained, used) = (drained.elapsed(), cpu(process) - used);
    report(
        &format!("{CONVERSATIONS} conversations, {RATE} a second for {wrote:.0?}"),
        &latencies(&telegram, &written, ALONE),
    );
    println!(
        "    {behind} were waiting when the last was written, and answered {drained:.1?} later; {:.0} answers a second\n    \
         processor {:.0} % of one, memory {idle} MiB before, {most} MiB at most, {} MiB after",
        total as f64 / (wrote + drained).as_secs_f64(),
        100.0 * used / (wrote + drained).as_secs_f64(),
        memory(process),
    );
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
    gateway.stop().await;
}

/// Somebody writes the message of this number. When.
fn write(telegram: &FakeTelegram, n: usize) -> Instant {
    let user = i64::try_from(1 + n % CONVERSATIONS).expect("a user");
    telegram.write(user, &format!("[{n:05}]"));
    Instant::now()
}

/// How many answers there are, the first greeting's left out.
fn sent(telegram: &FakeTelegram) -> usize {
    telegram.sent_count() - 1
}

async fn answered(telegram: &FakeTelegram, count: usize) {
    while sent(telegram) < count {
        sleep(Duration::from_millis(2)).await;
    }
}

/// From a message's being written to the arrival of its answer, for all from a number on, in order of length.
///
/// # Panics
/// When one was answered not at all, or twice.
fn latencies(telegram: &FakeTelegram, written: &[Instant], from: usize) -> Vec<Duration> {
    let mut answers: Vec<Option<Instant>> = vec![None; written.len()];
    for call in telegram.calls("sendMessage") {
        let text = call.parameters["text"].as_str().unwrap_or_default();
        let number = text.split_once('[').and_then(|(_, rest)| rest.get(..5)?.parse::<usize>().ok());
        if let Some(n) = number {
            assert_eq!(answers[n].replace(call.at), None, "{n} is answered once");
        }
    }
    let answers = answers.into_iter().zip(written).skip(from);
    let mut took: Vec<Duration> = answers
        .map(|(answer, written)| answer.expect("an answer").saturating_duration_since(*written))
        .collect();
    took.sort();
    took
}

fn report(what: &str, took: &[Duration]) {
    let percentile = |p: usize| took[(took.len() - 1) * p / 100];
    println!(
        "{what}: from a message to the arrival of its answer, {} times\n    median {:.1?}, 99 of 100 within {:.1?}, \
         longest {:.1?}",
        took.len(),
        percentile(50),
        percentile(99),
        percentile(100),
    );
}
