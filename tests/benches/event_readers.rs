//! What it costs that ten thousand follow the events: `cargo bench -p prx-tests --bench event_readers`.
#![allow(clippy::print_stdout, reason = "a benchmark reports")]
#![allow(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use prx_tests::client::EventStream;
use prx_tests::gateway::Gateway;
use prx_tests::usage::{cpu, memory};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

/// Readers, unless the first argument says otherwise.
const READERS: usize = 10_000;
/// Events a second that all of them together are told of, and for how long.
const TOLD: usize = 1_000;
const TIME: Duration = Duration::from_secs(30);
/// Events as fast as they can happen, each of which every reader is told of.
const BURST: usize = 20;
/// How long the last of them may take to arrive.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(120);

/// What the readers have heard.
#[derive(Default)]
struct Heard {
    events: AtomicU64,
    /// Events that a reader was not told of.
    missed: AtomicU64,
}

/// Events that happen.
struct Load {
    how: &'static str,
    events: usize,
    /// The time from one to the next.
    pace: Option<Duration>,
}

#[tokio::main]
async fn main() {
    let readers = std::env::args().nth(1).and_then(|argument| argument.parse().ok()).unwrap_or(READERS);
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("descriptors");
    let most = readers + 100;
    let gateway = Gateway::start(&format!(
        "[gateway]\nmax_connections = {most}\nmax_connections_per_address = {most}\n"
    ))
    .await;
    let process = gateway.process_id();
    let (before, heard) = (memory(process), Arc::new(Heard::default()));
    let mut reading = JoinSet::new();
    while reading.len() < readers {
        let more = (readers - reading.len()).min(100);
        let client = gateway.client();
        let streams = join_all((0..more).map(|_| client.follow("/events", None))).await;
        for stream in streams {
            reading.spawn(read(stream, Arc::clone(&heard)));
        }
    }
    sleep(Duration::from_secs(1)).await;
    let held = memory(process);
    let each = (held - before) as f64 * 1024.0 / readers as f64;
    println!("{readers} readers: memory {before} MiB before, {held} MiB with them, {each:.1} KiB a reader");

    let pace = Duration::from_secs_f64(readers as f64 / TOLD as f64);
    let events = usize::try_from(TIME.as_nanos() / pace.as_nanos()).expect("a count").max(3);
    happen(&gateway, &heard, readers, Load { how: "at a pace", events, pace: Some(pace) }).await;
    happen(&gateway, &heard, readers, Load { how: "as fast as they can", events: BURST, pace: None }).await;
    let missed = heard.missed.load(Ordering::Relaxed);
    println!("{missed} events were missed; memory {} MiB at the end", memory(process));
    assert_eq!(missed, 0, "who keeps up loses nothing");
    drop(reading);
    gateway.stop().await;
}

/// Has sessions opened, and waits until everyone has heard of each.
async fn happen(gateway: &Gateway, heard: &Heard, readers: usize, load: Load) {
    let Load { how, events, pace } = load;
    let process = gateway.process_id();
    let due = heard.events.load(Ordering::Relaxed) + (events * readers) as u64;
    let (began, used) = (Instant::now(), cpu(process));
    let mut ticks = pace.map(interval);
    let mut slowest = Duration::ZERO;
    for _ in 0..events {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        let asked = Instant::now();
        gateway.open_session("ada").await;
        slowest = slowest.max(asked.elapsed());
    }
    let written = began.elapsed();
    let arrival = async {
        while heard.events.load(Ordering::Relaxed) < due {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(ARRIVAL_TIMEOUT, arrival).await.expect("everyone hears of everything");
    let took = began.elapsed();
    println!(
        "{how}: {events} events in {written:.2?}, the slowest took {slowest:.2?}; all were told {:.2?} after the last, {:.0} a \
         second; processor {:.0} % of one",
        took - written,
        (events * readers) as f64 / took.as_secs_f64(),
        100.0 * (cpu(process) - used) / took.as_secs_f64(),
    );
}

async fn read(mut stream: EventStream, heard: Arc<Heard>) {
    let mut last: Option<u64> = None;
    while let Some((name, _)) = stream.next().await {
        if name == "gap" {
            heard.missed.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let id: u64 = stream.id().and_then(|id| id.parse().ok()).expect("an id");
        if let Some(last) = last {
            heard.missed.fetch_add(id - last - 1, Ordering::Relaxed);
        }
        last = Some(id);
        heard.events.fetch_add(1, Ordering::Relaxed);
    }
}
