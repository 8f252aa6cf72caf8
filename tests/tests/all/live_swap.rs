//! Connectors are swapped, and the gateway killed, while messages arrive on both: nobody on the other side notices.
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::Method;
use prx_tests::component::Component;
use prx_tests::discord::FakeDiscord;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::scale::scaled;
use prx_tests::telegram::FakeTelegram;
use prx_tests::wait::until;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Code that is put in the place of a bundled connector has what the operator grants by name.
const GRANTS: &str = "[grants.telegram]\nhttp = [\"https://api.telegram.org\"]\nsecrets = [\"bot_token\", \"webhook_secret\"]\n[grants.discord]\nhttp = [\"https://discord.com\", \"https://*.discord.gg\", \"https://cdn.discordapp.com\", \"https://media.discordapp.net\"]\nsecrets = [\"bot_token\"]\n";

const HEARTBEAT: Duration = Duration::from_secs(2);
/// Twenty messages a second on each connector.
const PACE: Duration = Duration::from_millis(50);
const USERS: usize = 10;

/// Both platforms, and people who write to each of them without pause.
struct Crowd {
    telegram: Arc<FakeTelegram>,
    discord: Arc<FakeDiscord>,
    written: Arc<AtomicUsize>,
    writing: JoinHandle<()>,
}

impl Crowd {
    async fn new() -> (Self, String) {
        let telegram = Arc::new(FakeTelegram::start().await);
        let discord = Arc::new(FakeDiscord::with_heartbeat(HEARTBEAT).await);
        let config = format!(
            "{}{}{GRANTS}[agent]\nmax_turns = 1000000\n",
            telegram.config(&["*"]),
            discord.config(&["*"])
        );
        (Self { telegram, discord, written: Arc::default(), writing: tokio::spawn(async {}) }, config)
    }

    fn begin(&mut self) {
        let (telegram, discord) = (Arc::clone(&self.telegram), Arc::clone(&self.discord));
        let written = Arc::clone(&self.written);
        self.writing = tokio::spawn(async move {
            let mut pace = interval(PACE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                pace.tick().await;
                let n = written.load(Ordering::Relaxed);
                telegram.write(1 + (n % USERS) as i64, &text(n));
                discord.write(1 + (n % USERS) as u64, &text(n));
                written.store(n + 1, Ordering::Relaxed);
            }
        });
    }

    /// Nobody writes any more; waits until everything is answered. How much was written.
    async fn end(&self, gateway: &Gateway) -> usize {
        self.writing.abort();
        self.settled(gateway).await
    }

    /// Waits until what was written by now is answered, or its answer kept. How much that is.
    async fn settled(&self, gateway: &Gateway) -> usize {
        let count = self.written.load(Ordering::Relaxed);
        until("the last answers", async || {
            let kept = dead_letters(gateway).await;
            (count.saturating_sub(USERS)..count)
                .all(|n| {
                    let (user, text) = (1 + n % USERS, text(n));
                    let is_in = |sent: Vec<String>| sent.iter().any(|sent| sent.contains(&text));
                    is_in(self.discord.sent_to(user as u64))
                        && (is_in(self.telegram.sent_to(user as i64)) || kept.contains(&text))
                })
                .then_some(count)
        })
        .await
    }

    /// How often each message was answered, on both platforms.
    fn answers(&self, count: usize) -> [Vec<usize>; 2] {
        let sent: [Vec<Vec<String>>; 2] = [
            (1..=USERS).map(|user| self.telegram.sent_to(user as i64)).collect(),
            (1..=USERS).map(|user| self.discord.sent_to(user as u64)).collect(),
        ];
        sent.map(|users| {
            let of = |n: usize| users[n % USERS].iter().filter(|sent| sent.contains(&text(n))).count();
            (0..count).map(of).collect()
        })
    }

    fn no_rule_broken(&self) {
        assert_eq!(self.discord.broken_rules(), Vec::<String>::new());
        assert_eq!(self.telegram.broken_rules(), Vec::<String>::new());
    }
}

/// What of Telegram's replies is kept for the operator.
async fn dead_letters(gateway: &Gateway) -> String {
    gateway.client().get("/channels/telegram/dead-letters?limit=500").await.expect(200).to_string()
}

fn text(n: usize) -> String {
    format!("[{n:05}]")
}

/// A connector's own manifest, as of a later version of its state.
fn manifest(plugin: &str, state_version: usize) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../plugins/{plugin}/plugin.toml"));
    let manifest = fs::read_to_string(file).expect("a manifest");
    let lines = manifest.lines().map(|line| match line.starts_with("state_version") {
        true => format!("state_version = {state_version}\n"),
        false => format!("{line}\n"),
    });
    lines.collect()
}

fn state_version(plugin: &str) -> usize {
    let manifest = manifest(plugin, 0);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../plugins/{plugin}/plugin.toml"));
    let own = fs::read_to_string(file).expect("a manifest");
    let line = own.lines().zip(manifest.lines()).find(|(own, zero)| own != zero);
    line.and_then(|(own, _)| own.rsplit(' ').next()?.parse().ok()).expect("a version")
}

async fn put(gateway: &Gateway, plugin: &str, component: Component) -> prx_tests::client::Answer {
    let path = format!("/plugins/{plugin}");
    gateway.client().upload(Method::PUT, &path, "application/wasm", component.bytes()).await
}

/// One reload: most of the same code, some of code that fails on its first event, some with a migration of the state.
/// What the gateway reports of it.
async fn reload(gateway: &Gateway, plugin: &str, round: usize, version: &mut usize) -> Value {
    if round % 10 == 5 {
        let failing = Component::of("stumbling").with_manifest(&manifest(plugin, *version));
        let refused = put(gateway, plugin, failing).await;
        assert!(refused.error(409, "conflict").contains("taken back"), "{refused}");
        let report = refused.json()["error"]["details"].clone();
        assert_eq!(report["rolled_back"], true, "{report}");
        return report;
    }
    let report = if round % 20 == 8 {
        *version += 1;
        let moved = Component::of(&format!("prx-{plugin}")).with_manifest(&manifest(plugin, *version));
        put(gateway, plugin, moved).await.expect(200)
    } else {
        gateway.client().post(&format!("/plugins/{plugin}/reload"), json!({})).await.expect(200)
    };
    assert_eq!(report["rolled_back"], false, "{report}");
    report
}

#[tokio::test]
async fn swapped_under_load_each_message_is_answered_once_over_one_connection() {
    let reloads = scaled(20, 100);
    // Built before anything runs that would have to wait for it.
    let _ = Component::of("stumbling");
    let (mut crowd, config) = Crowd::new().await;
    let gateway = Gateway::start_in(Home::new(&config)).await;
    crowd.discord.listening(0).await;
    crowd.begin();
    let mut versions = [state_version("telegram"), state_version("discord")];
    let mut pauses = Vec::new();
    for round in 0..reloads {
        for (plugin, version) in ["telegram", "discord"].into_iter().zip(&mut versions) {
            let report = reload(&gateway, plugin, round, version).await;
            pauses.push(report["pause_ms"].as_f64().expect("a pause"));
            if plugin == "discord" {
                // Requests on their way count, too.
                assert!(report["connections_kept"].as_u64() >= Some(1), "{report}");
            }
        }
    }
    let count = crowd.end(&gateway).await;
    for answers in crowd.answers(count) {
        let wrong: Vec<_> = answers.iter().enumerate().filter(|(_, times)| **times != 1).collect();
        assert!(wrong.is_empty(), "of {count}, these were not answered exactly once: {wrong:?}");
    }
    let connections = crowd.discord.connections();
    assert_eq!((connections.len(), crowd.discord.sessions_begun()), (1, 1), "one connection in all");
    let beats = &connections[0].heartbeats;
    let gaps =
        std::iter::once(beats[0] - connections[0].opened_at).chain(beats.windows(2).map(|w| w[1] - w[0]));
    let longest = gaps.max().expect("heartbeats");
    assert!(longest <= HEARTBEAT * 3 / 2, "a heartbeat came only after {longest:?}");
    pauses.sort_by(f64::total_cmp);
    let percentile = |p: usize| pauses[(pauses.len() - 1) * p / 100];
    eprintln!(
        "{count} messages on each, {} reloads; pause in ms: median {:.1}, p99 {:.1}, longest {:.1}; longest gap of heartbeats {longest:?} of {HEARTBEAT:?}",
        pauses.len(),
        percentile(50),
        percentile(99),
        percentile(100),
    );
    gateway.stop().await;
    crowd.no_rule_broken();
}

/// The replies of which this gateway said at its start that they may have been sent before.
fn doubts(gateway: &Gateway) -> usize {
    gateway.output().lines().iter().filter(|line| line.contains("may be there already")).count()
}

#[tokio::test]
async fn killed_under_load_nothing_is_lost_and_the_session_goes_on() {
    let kills = scaled(4, 50);
    let (mut crowd, config) = Crowd::new().await;
    let mut gateway = Gateway::start_in(Home::new(&config)).await;
    crowd.discord.listening(0).await;
    crowd.begin();
    let mut in_doubt = 0;
    for kill in 0..kills {
        sleep(Duration::from_millis(300 + 53 * (kill as u64 % 7))).await;
        in_doubt += doubts(&gateway);
        let home = gateway.kill();
        let connections = crowd.discord.connections().len();
        gateway = Gateway::start_in(home).await;
        crowd.discord.until("a session", |d| d.connections().get(connections..)?.last()?.ready_at).await;
        assert!(connections <= kill + 3, "no more connections than lives: {:?}", crowd.discord);
        // A turn that was at work at five kills in a row is given up.
        if kill % 4 == 3 {
            crowd.settled(&gateway).await;
        }
    }
    let count = crowd.end(&gateway).await;
    in_doubt += doubts(&gateway);
    let kept = dead_letters(&gateway).await;
    gateway.stop().await;
    let [telegram, discord] = crowd.answers(count);
    let wrong: Vec<_> = discord.iter().enumerate().filter(|(_, times)| **times != 1).collect();
    assert!(wrong.is_empty(), "of {count}, these were not answered exactly once: {wrong:?}");
    // A reply that was on its way at two kills in a row is kept, for the operator to say whether it is sent again.
    let lost: Vec<_> = (0..count).filter(|n| telegram[*n] == 0 && !kept.contains(&text(*n))).collect();
    assert!(lost.is_empty(), "of {count}, these were not answered: {lost:?}");
    let twice = telegram.iter().filter(|times| **times > 1).count();
    assert!(telegram.iter().all(|times| *times <= 2), "sent once more at most");
    assert!(twice <= in_doubt, "{twice} were answered twice, and {in_doubt} marked");
    eprintln!(
        "{count} messages on each, {kills} kills: {} recognized by their nonce, {twice} answered twice where there is none",
        crowd.discord.recognized()
    );
    assert_eq!(crowd.discord.sessions_begun(), 1, "no session was begun while there was one");
    let resumed =
        crowd.discord.connections().iter().filter(|connection| connection.resumed == Some(true)).count();
    assert!(resumed >= kills, "{resumed} resumed after {kills} kills");
    crowd.no_rule_broken();
}
