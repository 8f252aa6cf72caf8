//! What a line of the log costs the one who writes it, with nobody and with many following. What is written to stderr
//! is not part of it.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::thread::sleep;
use std::time::Duration;

use divan::Bencher;
use prx_base::clock::Clock;
use prx_base::logs::{Query, Ring, RingLayer};
use tokio::runtime::Runtime;
use tracing::{Level, info};
use tracing_subscriber::layer::SubscriberExt;

/// How long a follower rests that has read everything.
const REST: Duration = Duration::from_millis(100);
/// Between two lines, so that there are about 2,000 a second.
const BETWEEN: Duration = Duration::from_micros(450);

fn main() {
    divan::main();
}

/// Reads whatever is written, as those who follow the log over HTTP do.
async fn follow(ring: Ring) {
    let query = Query { level: Level::INFO, module: None, since: None };
    let (mut newest, mut after) = (ring.newest(), ring.last());
    while newest.wait_for(|newest| *newest > after).await.is_ok() {
        while after < ring.last() {
            let batch = ring.read(&query, after, 64);
            after = batch.next;
            divan::black_box(batch.entries.iter().map(|entry| entry.json().len()).sum::<usize>());
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(REST).await;
    }
}

#[divan::bench(args = [0, 10, 1_000], sample_count = 4_000, sample_size = 1)]
fn line(bencher: Bencher<'_, '_>, followers: usize) {
    let runtime = Runtime::new().unwrap();
    let ring = Ring::new(10_000);
    runtime.spawn(ring.clone().announce());
    for _ in 0..followers {
        runtime.spawn(follow(ring.clone()));
    }
    let subscriber = tracing_subscriber::registry().with(RingLayer::new(ring, Clock::system()));
    tracing::subscriber::with_default(subscriber, || {
        bencher.with_inputs(|| sleep(BETWEEN)).bench_local_values(|()| {
            info!(module = "http", route = "/api/v1/skills", status = 200, took_ms = 1.5, "request");
        });
    });
}
