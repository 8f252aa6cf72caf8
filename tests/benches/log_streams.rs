//! What it costs those who write that a thousand follow the log: `cargo bench -p prx-tests --bench log_streams`.
#![allow(clippy::print_stdout, reason = "a benchmark reports")]
#![allow(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::time::Duration;

use futures_util::future::join_all;
use prx_tests::client::EventStream;
use prx_tests::gateway::Gateway;
use prx_tests::usage::{cpu, memory};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

const STREAMS: usize = 1000;
/// Those among them that are open and not read.
const SLEEPERS: usize = 10;
/// Requests a second, each of which is logged, and for how long.
const RATE: u64 = 50;
const TIME: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() {
    let gateway = Gateway::start("").await;
    write("nobody follows", &gateway).await;
    let client = gateway.client();
    let mut streams = Vec::new();
    while streams.len() < STREAMS {
        let more = (0..50).map(|_| client.follow("/logs/stream", None));
        streams.extend(join_all(more).await);
    }
    let sleeping = streams.split_off(STREAMS - SLEEPERS);
    let mut reading = JoinSet::new();
    streams.into_iter().for_each(|stream| drop(reading.spawn(read(stream))));
    sleep(Duration::from_secs(1)).await;
    write(&format!("{} follow, and {SLEEPERS} don't read", STREAMS - SLEEPERS), &gateway).await;
    drop((reading, sleeping));
    sleep(Duration::from_secs(1)).await;
    write("they have gone", &gateway).await;
    gateway.stop().await;
}

async fn read(mut stream: EventStream) {
    while stream.next().await.is_some() {}
}

/// Requests at a steady pace, one after the other.
async fn write(when: &str, gateway: &Gateway) {
    let (process, client) = (gateway.process_id(), gateway.client());
    let (began, used, mut took) = (Instant::now(), cpu(process), Vec::new());
    let mut pace = interval(Duration::from_secs(1) / u32::try_from(RATE).expect("a rate"));
    while began.elapsed() < TIME {
        pace.tick().await;
        let asked = Instant::now();
        client.get("/skills").await.expect(200);
        took.push(asked.elapsed());
    }
    let used = 100.0 * (cpu(process) - used) / began.elapsed().as_secs_f64();
    took.sort();
    let percentile = |p: usize| took[(took.len() - 1) * p / 100];
    println!(
        "{when}: {} requests, median {:.2?}, 99 of 100 within {:.2?}; processor {used:.0} % of one, memory {} MiB",
        took.len(),
        percentile(50),
        percentile(99),
        memory(process),
    );
}
