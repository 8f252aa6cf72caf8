//! The log of events: what happened, in order, for whoever reads on from where he was. An event is in it from the commit of
//! the verb that it tells of. Hooks have queues of their own besides, for each delivery has a fate of its own; they are filled
//! in the same commit.
//!
//! It keeps the newest events, up to a number and a size. Whoever is farther behind has lost the others, and learns how many.

use redb::ReadableTable;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::handle::Store;
use super::kept::Kept;
use super::rows::{Failure, MAX_PAGE, Result, Rows, Snapshot};
use super::tx::{META, Tx};
use jiff::Timestamp;

/// By number.
const EVENT_LOG: Rows<u64, LoggedEvent> = Rows::new("event_log");
/// Bytes of names and data in it, in [`META`].
const BYTES: &str = "event_log_bytes";
/// Events that are kept, at most.
pub(super) const MAX_EVENTS: u64 = 100_000;
/// Bytes of them that are kept, at most.
const MAX_BYTES: u64 = 16 << 20;
/// Events that one commit forgets, at most, for each that it adds.
const MAX_FORGOTTEN: usize = 256;
/// Events that one commit erases.
pub(super) const ERASED_AT_ONCE: usize = 256;

pub(super) const TABLES: &[&dyn Kept] = &[&EVENT_LOG];

/// An event as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedEvent {
    /// Its number: each is one more than the one before.
    pub seq: u64,
    /// What it is called.
    pub name: String,
    /// When it happened.
    pub at: Timestamp,
    /// What about.
    pub data: Value,
    bytes: u64,
}

/// Part of the log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventPage {
    /// The events, oldest first.
    pub events: Vec<LoggedEvent>,
    /// How many of those asked for are not kept any more.
    pub lost: u64,
}

impl Store {
    /// The number of the newest event; 0 where there was none yet.
    pub fn newest_event(&self) -> Result<u64> {
        self.read(newest)
    }

    /// Up to `limit` events behind the one of this number, at most [`MAX_PAGE`].
    pub fn events_after(&self, seq: u64, limit: usize) -> Result<EventPage> {
        self.read(|snapshot| {
            let Some(from) = seq.checked_add(1) else { return Ok(EventPage::default()) };
            let events: Vec<LoggedEvent> = snapshot.page(&EVENT_LOG, from.., limit)?;
            let lost = events.first().map_or(0, |first| first.seq - from);
            Ok(EventPage { events, lost })
        })
    }
}

impl Store {
    /// Takes out what the events are about whose data is as wanted; their numbers stay. Tells how many those were.
    pub(super) async fn erase_events(&self, wanted: impl Fn(&str) -> bool) -> Result<u64> {
        let (mut seq, mut erased) = (0, 0);
        loop {
            let page = self.events_after(seq, MAX_PAGE)?.events;
            let Some(last) = page.last() else { return Ok(erased) };
            seq = last.seq;
            let found = page.iter().filter(|event| wanted(&event.data.to_string())).map(|event| event.seq);
            for batch in found.collect::<Vec<_>>().chunks(ERASED_AT_ONCE) {
                let batch = batch.to_vec();
                erased += batch.len() as u64;
                self.write(move |tx| erase(tx, &batch)).await?;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn newest(snapshot: &Snapshot) -> Result<u64, Failure> {
    Ok(snapshot.open(EVENT_LOG.table())?.last()?.map_or(0, |(seq, _)| seq.value()))
}

/// Adds an event, and forgets the oldest ones where there are too many. Tells its number.
pub(super) fn append(tx: &Tx<'_>, name: &str, data: &Value) -> Result<u64, Failure> {
    let (first, last) = {
        let log = tx.open(EVENT_LOG.table())?;
        let first = log.first()?.map(|(seq, _)| seq.value());
        (first, log.last()?.map_or(0, |(seq, _)| seq.value()))
    };
    let seq = last + 1;
    let bytes = (name.len() + data.to_string().len()) as u64;
    tx.put(
        &EVENT_LOG,
        seq,
        &LoggedEvent { seq, name: name.to_owned(), at: tx.now(), data: data.clone(), bytes },
    )?;
    let mut held = tx.open(META)?.get(BYTES)?.map_or(0, |held| held.value()) + bytes;
    for oldest in (first.unwrap_or(seq)..).take(MAX_FORGOTTEN) {
        if seq - oldest < MAX_EVENTS && held <= MAX_BYTES {
            break;
        }
        let gone = tx.get(&EVENT_LOG, oldest)?.map_or(0, |gone: LoggedEvent| gone.bytes);
        tx.remove(&EVENT_LOG, oldest)?;
        held = held.saturating_sub(gone);
    }
    tx.change(META)?.insert(BYTES, held)?;
    Ok(seq)
}

fn erase(tx: &Tx<'_>, seqs: &[u64]) -> Result<(), Failure> {
    for seq in seqs {
        let Some(event) = tx.get(&EVENT_LOG, *seq)? else { continue };
        let erased = LoggedEvent { data: json!({ "erased": true }), ..event };
        tx.blank(&EVENT_LOG, *seq)?;
        tx.put(&EVENT_LOG, *seq, &erased)?;
    }
    Ok(())
}
