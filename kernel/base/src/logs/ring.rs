//! The recent log, kept in memory within bounds, for those who ask and those who follow.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::{Notify, watch};
use tracing::Level;

/// Bytes of text that are kept at most, whatever the number of entries.
const MAX_BYTES: usize = 16 << 20;

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "LogEntry")]
pub struct Entry {
    /// Its number since the gateway started, from 1.
    #[serde(skip)]
    pub id: u64,
    /// When it was written.
    #[serde(serialize_with = "millis")]
    #[schemars(with = "String")]
    pub timestamp: Timestamp,
    /// How grave it is.
    #[serde(serialize_with = "level")]
    #[schemars(with = "String")]
    pub level: Level,
    /// Which part of the gateway speaks, such as `agent::loop` or `channel::work`.
    pub module: String,
    /// What it says.
    pub message: String,
    /// The session it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// What else it says, by name.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
    /// The same as JSON, once somebody has followed it.
    #[serde(skip)]
    pub(super) json: OnceLock<Bytes>,
}

impl Entry {
    /// The entry as JSON, on one line. Made once, for all who follow.
    pub fn json(&self) -> Bytes {
        self.json.get_or_init(|| serde_json::to_vec(self).unwrap_or_default().into()).clone()
    }

    /// About what it takes, its JSON included.
    fn bytes(&self) -> usize {
        let fields = |(name, value): (&String, &Value)| name.len() + value.as_str().map_or(8, str::len);
        256 + 2 * (self.module.len() + self.message.len() + self.fields.iter().map(fields).sum::<usize>())
    }
}

fn millis<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

fn level<S: serde::Serializer>(level: &Level, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&level.as_str().to_lowercase())
}

/// Which entries are wanted.
#[derive(Debug, Clone)]
pub struct Query {
    /// The least grave level.
    pub level: Level,
    /// Only this part of the gateway and those below it.
    pub module: Option<String>,
    /// Only from this moment on.
    pub since: Option<Timestamp>,
}

impl Query {
    fn wants(&self, entry: &Entry) -> bool {
        let below = |module: &str| {
            entry.module.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        entry.level <= self.level
            && self.module.as_deref().is_none_or(below)
            && self.since.is_none_or(|since| entry.timestamp >= since)
    }
}

/// What a follower reads in one go.
#[derive(Debug, Default)]
pub struct Batch {
    /// Entries that were dropped before the follower came to read them.
    pub missed: u64,
    /// Those it wants, oldest first.
    pub entries: Vec<Arc<Entry>>,
    /// Where to go on.
    pub next: u64,
}

/// A cheap-clone handle to the recent log.
///
/// Followers keep a number, not a buffer: one that is slow costs nothing and learns what it missed.
#[derive(Debug, Clone)]
pub struct Ring(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kept: Mutex<Kept>,
    /// Told of every entry. Only [`Ring::announce`] listens: who writes wakes one task, however many follow.
    written: Notify,
    newest: watch::Sender<u64>,
}

#[derive(Debug)]
struct Kept {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    limit: usize,
    last: u64,
}

impl Ring {
    /// A ring that keeps up to `limit` entries.
    pub fn new(limit: usize) -> Self {
        let kept = Mutex::new(Kept { entries: VecDeque::new(), bytes: 0, limit, last: 0 });
        Self(Arc::new(Shared { kept, written: Notify::new(), newest: watch::Sender::new(0) }))
    }

    /// Changes how many entries are kept.
    pub fn set_limit(&self, limit: usize) {
        let mut kept = self.lock();
        kept.limit = limit;
        kept.trim();
    }

    /// Adds an entry, and lets go of the oldest where there is no room.
    pub(super) fn push(&self, mut entry: Entry) {
        {
            let mut kept = self.lock();
            kept.last += 1;
            entry.id = kept.last;
            kept.bytes += entry.bytes();
            kept.entries.push_back(Arc::new(entry));
            kept.trim();
        }
        self.0.written.notify_one();
    }

    /// Wakes those who follow, for as long as it is run.
    pub async fn announce(self) {
        loop {
            self.0.written.notified().await;
            self.0.newest.send_replace(self.last());
        }
    }

    /// The number of the newest entry.
    pub fn last(&self) -> u64 {
        self.lock().last
    }

    /// The newest `limit` entries that are wanted, newest last, and how many are wanted in all.
    pub fn query(&self, query: &Query, limit: usize) -> (Vec<Arc<Entry>>, usize) {
        let kept = self.lock();
        let wanted = kept.entries.iter().filter(|entry| query.wants(entry));
        let mut newest: VecDeque<Arc<Entry>> = VecDeque::new();
        let mut total = 0;
        for entry in wanted {
            total += 1;
            newest.push_back(entry.clone());
            if newest.len() > limit {
                newest.pop_front();
            }
        }
        (newest.into(), total)
    }

    /// What came after entry `after`, up to `limit` of it.
    pub fn read(&self, query: &Query, after: u64, limit: usize) -> Batch {
        let kept = self.lock();
        let oldest = kept.last + 1 - kept.entries.len() as u64;
        let missed = oldest.saturating_sub(after + 1);
        let skip = usize::try_from((after + 1).saturating_sub(oldest)).unwrap_or(usize::MAX);
        let mut batch = Batch { missed, entries: Vec::new(), next: after.max(oldest - 1) };
        for entry in kept.entries.iter().skip(skip) {
            if batch.entries.len() == limit {
                break;
            }
            batch.next = entry.id;
            if query.wants(entry) {
                batch.entries.push(entry.clone());
            }
        }
        batch
    }

    /// Word of every newer entry.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.0.newest.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn trim(&mut self) {
        while self.entries.len() > self.limit || self.bytes > MAX_BYTES {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes -= oldest.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(module: &str, message: &str) -> Entry {
        Entry {
            id: 0,
            timestamp: Timestamp::UNIX_EPOCH,
            level: Level::INFO,
            module: module.into(),
            message: message.into(),
            session_id: None,
            fields: Map::new(),
            json: OnceLock::new(),
        }
    }

    fn query(module: Option<&str>) -> Query {
        Query { level: Level::INFO, module: module.map(Into::into), since: None }
    }

    #[test]
    fn modules_match_by_whole_parts() {
        let ring = Ring::new(10);
        for module in ["channel::work", "channel", "channels", "plugin::work"] {
            ring.push(entry(module, "x"));
        }
        let (found, total) = ring.query(&query(Some("channel")), 10);
        assert_eq!(total, 2);
        assert_eq!(
            found.iter().map(|entry| entry.module.as_str()).collect::<Vec<_>>(),
            ["channel::work", "channel"]
        );
        assert_eq!(ring.query(&Query { level: Level::WARN, ..query(None) }, 10).1, 0);
    }

    #[test]
    fn a_slow_follower_learns_what_it_missed() {
        let ring = Ring::new(3);
        for number in 1..=5 {
            ring.push(entry("m", &number.to_string()));
        }
        let batch = ring.read(&query(None), 0, 2);
        assert_eq!((batch.missed, batch.next), (2, 4));
        let batch = ring.read(&query(None), batch.next, 2);
        assert_eq!((batch.missed, batch.next, batch.entries.len()), (0, 5, 1));
        assert_eq!(ring.read(&query(None), 5, 2).entries.len(), 0);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let ring = Ring::new(1_000_000);
        for _ in 0..40 {
            ring.push(entry("m", &"x".repeat(1 << 20)));
        }
        assert!(ring.query(&query(None), 100).1 <= 16);
    }
}
