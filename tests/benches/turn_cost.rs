//! What a turn costs, from an update of the platform's to its reply, with the provider that needs no model:
//! `cargo bench -p prx-tests --bench turn_cost`. With `PRX_BIN_BEFORE=path` that binary is measured beside the present one
//! (or beside the one in `PRX_BIN`), turn and turn about, and told apart by ratios.
#![allow(clippy::print_stdout, reason = "a benchmark reports")]
#![allow(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::env;
use std::process::{Command, Stdio};
use std::time::Duration;

use prx_tests::gateway::{Gateway, Home};
use prx_tests::telegram::FakeTelegram;
use prx_tests::usage::cpu;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

/// How often the binaries take turns, and how many messages are written one at a time in each.
const ROUNDS: usize = 10;
const ALONE: usize = 50;
/// How often they do so under load: messages a second, for how long, in how many conversations.
const LOADS: usize = 4;
const RATE: u32 = 150;
const SECONDS: u32 = 10;
const CONVERSATIONS: usize = 500;
/// How long a reply may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A binary that is measured, with a platform of its own.
struct Measured {
    name: &'static str,
    telegram: FakeTelegram,
    gateway: Gateway,
    /// When each message was written.
    written: Vec<Instant>,
    alone: Vec<Duration>,
    loaded: Vec<Duration>,
    /// Seconds of processor time under load.
    used: f64,
}

#[tokio::main]
async fn main() {
    let mut all = Vec::new();
    if let Some(path) = env::var_os("PRX_BIN_BEFORE") {
        all.push(Measured::start("before", |home| by(&path, home)).await);
    }
    all.push(Measured::start("now", |home| home.command(&["serve", "--port", "0"])).await);
    for _ in 0..ROUNDS {
        for measured in &mut all {
            measured.one_at_a_time().await;
        }
    }
    for _ in 0..LOADS {
        for measured in &mut all {
            measured.under_load().await;
        }
    }
    for measured in &mut all {
        measured.alone.sort();
        measured.loaded.sort();
    }
    report("one at a time", &all, |measured| &measured.alone);
    let load = format!("{RATE} a second in {CONVERSATIONS} conversations");
    report(&load, &all, |measured| &measured.loaded);
    println!("processor time of a turn under load");
    for measured in &all {
        println!("    {:<8}{:.2} ms", measured.name, 1000.0 * measured.used / measured.loaded.len() as f64);
    }
    for measured in all {
        assert_eq!(measured.telegram.broken_rules(), Vec::<String>::new());
        measured.gateway.stop().await;
    }
}

/// `prx serve` as another binary.
fn by(binary: &std::ffi::OsStr, home: &Home) -> Command {
    let present = home.command(&["serve", "--port", "0"]);
    let mut command = Command::new(binary);
    command.args(present.get_args()).current_dir(home.path()).stdin(Stdio::null());
    for (name, value) in present.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

impl Measured {
    async fn start(name: &'static str, command: impl Fn(&Home) -> Command) -> Self {
        let telegram = FakeTelegram::start().await;
        let limits = "stream_mode = \"off\"\n[agent]\nmax_turns = 1000000\n";
        let home = Home::new(&(telegram.config(&["*"]) + limits));
        let command = command(&home);
        let gateway = Gateway::launch(home, command).await;
        telegram.write(1, "Hello");
        telegram.until("an answer", |t| t.sent().first().cloned()).await;
        let (written, alone, loaded) = (Vec::new(), Vec::new(), Vec::new());
        Self { name, telegram, gateway, written, alone, loaded, used: 0.0 }
    }

    /// Somebody writes the next message.
    fn write(&mut self) {
        let n = self.written.len();
        let user = i64::try_from(1 + n % CONVERSATIONS).expect("a user");
        self.telegram.write(user, &format!("[{n:05}]"));
        self.written.push(Instant::now());
    }

    /// Waits until everything is answered; the greeting counts, too.
    async fn answered(&self) {
        let all = async {
            while self.telegram.sent_count() < self.written.len() + 1 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(ANSWER_TIMEOUT, all).await.expect("all of it is answered");
    }

    async fn one_at_a_time(&mut self) {
        let from = self.written.len();
        for _ in 0..ALONE {
            self.write();
            self.answered().await;
        }
        let took = self.latencies(from);
        self.alone.extend(took);
    }

    async fn under_load(&mut self) {
        let (from, used) = (self.written.len(), cpu(self.gateway.process_id()));
        let mut pace = interval(Duration::from_secs(1) / RATE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for _ in 0..RATE * SECONDS {
            pace.tick().await;
            self.write();
        }
        self.answered().await;
        self.used += cpu(self.gateway.process_id()) - used;
        let took = self.latencies(from);
        self.loaded.extend(took);
    }

    /// From each message's being written to the arrival of its reply, for all from a number on.
    fn latencies(&self, from: usize) -> Vec<Duration> {
        let mut answers: Vec<Option<Instant>> = vec![None; self.written.len()];
        for call in self.telegram.calls("sendMessage") {
            let text = call.parameters["text"].as_str().unwrap_or_default();
            let number = text.split_once('[').and_then(|(_, rest)| rest.get(..5)?.parse::<usize>().ok());
            if let Some(n) = number {
                assert_eq!(answers[n].replace(call.at), None, "{n} is answered once");
            }
        }
        let answers = answers.into_iter().zip(&self.written).skip(from);
        answers
            .map(|(answer, written)| answer.expect("an answer").saturating_duration_since(*written))
            .collect()
    }
}

/// Medians, and how they compare with the first.
fn report(what: &str, all: &[Measured], took: impl Fn(&Measured) -> &Vec<Duration>) {
    println!("{what}: from an update to the arrival of its reply, {} times", took(&all[0]).len());
    let percentile = |took: &[Duration], p: usize| took[(took.len() - 1) * p / 100];
    let first = percentile(took(&all[0]), 50);
    for measured in all {
        let took = took(measured);
        let median = percentile(took, 50);
        println!(
            "    {:<8}median {median:.2?} ({:.2} of the first), 99 of 100 within {:.1?}, longest {:.1?}",
            measured.name,
            median.as_secs_f64() / first.as_secs_f64(),
            percentile(took, 99),
            percentile(took, 100),
        );
    }
}
