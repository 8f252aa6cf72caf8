//! The recent log: asked for, or followed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;
use tracing::Level;

use crate::gateway::Kernel;
use prx_base::clock::vary;
use prx_base::error::{Error, Result};
use prx_base::logs::{Entry, Query};
use prx_http::describe::{Field, Shape};
use prx_http::{Call, Doc, Reply, duration, sse};

const LEVELS: [(&str, Level); 5] = [
    ("trace", Level::TRACE),
    ("debug", Level::DEBUG),
    ("info", Level::INFO),
    ("warn", Level::WARN),
    ("error", Level::ERROR),
];
/// How far back a query looks that doesn't say.
const LOOK_BACK: Duration = Duration::from_secs(3600);
/// Entries that a follower takes in one go.
const BATCH: usize = 64;
/// How long a follower that has read everything rests: what is written meanwhile is read, and sent, in one go. Each
/// rests a little more or less than the others, so that a thousand of them don't come at the same moment.
const REST: Duration = Duration::from_millis(100);

/// Part of the log, newest last.
#[derive(Serialize, JsonSchema)]
struct Entries<'a> {
    entries: Vec<&'a Entry>,
    total: usize,
}

const LEVEL: Field =
    Field::new("level", Shape::Word(&["info", "trace", "debug", "warn", "error"]), "least level to return");
const MODULE: Field = Field::new("module", Shape::AnyText, "only entries of this part of the gateway");
const SINCE: Field = Field::new(
    "since",
    Shape::Matching(
        "^([1-9][0-9]{0,4}[smhdw]|20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3])(:[0-5][0-9]){2}Z)$",
    ),
    "only entries after this moment, or not longer ago than this; an hour if not said",
);
const MOST: Field = Field::new("limit", Shape::Number(1, 1000, 100), "most entries to return");
const LAST: Field = Field::new(
    "Last-Event-ID",
    Shape::Matching("^[0-9a-f]{1,12}-[0-9]{1,12}$"),
    "go on after the event with this id",
);

pub(super) const LIST: Doc = Doc::new("Show the recent log, or follow it")
    .query(&[
        LEVEL,
        MODULE,
        SINCE,
        MOST,
        Field::new("stream", Shape::Bool, "follow the log as it is written"),
    ])
    .headers(&[LAST])
    .answers::<Entries>(&[200])
    .or_as("text/event-stream");

pub(super) const STREAM: Doc = Doc::new("Follow the log as it is written")
    .query(&[LEVEL, MODULE, SINCE, MOST])
    .headers(&[LAST])
    .or_as("text/event-stream");

/// `GET /logs`
pub(super) async fn list(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    let limit = limit(&call)?;
    let query = query(&kernel, &call)?;
    if call.query.word("stream", &[("true", true), ("false", false)], false)? {
        return follow(kernel, &call, query, limit);
    }
    let since = query.since.or_else(|| back(&kernel, LOOK_BACK));
    let (entries, total) = kernel.base.logs.recent.query(&Query { since, ..query }, limit);
    Reply::ok(&Entries { entries: entries.iter().map(|entry| &**entry).collect(), total })
}

/// `GET /logs/stream`
pub(super) async fn stream(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    let limit = limit(&call)?;
    let query = query(&kernel, &call)?;
    follow(kernel, &call, query, limit)
}

fn limit(call: &Call) -> Result<usize> {
    call.query.number("limit", 1..=1000, 100)
}

fn query(kernel: &Kernel, call: &Call) -> Result<Query> {
    Ok(Query {
        level: call.query.word("level", &LEVELS, Level::INFO)?,
        module: call.query.text("module")?.filter(|module| !module.is_empty()).map(str::to_owned),
        since: call.query.text("since")?.map(|text| since(kernel, text)).transpose()?,
    })
}

/// A moment, or how long ago it was.
fn since(kernel: &Kernel, text: &str) -> Result<Timestamp> {
    let utc = |local: DateTime| TimeZone::UTC.to_timestamp(local).ok();
    let moment = text.parse().ok().or_else(|| utc(text.parse().ok()?));
    let ago = || back(kernel, duration::parse("since", text).ok()?);
    moment.or_else(ago).ok_or_else(|| {
        let accepted = "an ISO 8601 timestamp such as 2026-03-21T10:00:00Z, or a duration such as \"1h\"";
        Error::bad_request(format!("`since` must be {accepted}; not \"{text}\""))
    })
}

fn back(kernel: &Kernel, duration: Duration) -> Option<Timestamp> {
    let duration = SignedDuration::try_from(duration).ok()?;
    Some(kernel.base.clock.now().checked_sub(duration).unwrap_or(Timestamp::MIN))
}

/// Where a follower is, and what it has read and not sent yet. What it has not read costs it nothing.
struct Follower {
    kernel: Arc<Kernel>,
    query: Query,
    /// Number of the last entry it has read.
    after: u64,
    newest: watch::Receiver<u64>,
    ready: VecDeque<sse::Event>,
    /// Nothing was left to read the last time.
    caught_up: bool,
}

fn follow(kernel: Arc<Kernel>, call: &Call, query: Query, limit: usize) -> Result<Reply> {
    let recent = &kernel.base.logs.recent;
    let newest = recent.newest();
    let mut ready = VecDeque::new();
    let after = match call.headers.get("last-event-id") {
        Some(id) => match resumed(&kernel, id.to_str().unwrap_or_default())? {
            Some(after) => after.min(recent.last()),
            // The gateway was started anew since: nobody knows how much was missed.
            None => {
                ready.push_back(gap(None));
                0
            }
        },
        None if call.query.text("since")?.is_some() || call.query.text("limit")?.is_some() => {
            // Looked up first: what comes meanwhile is found, or follows.
            let last = recent.last();
            let (entries, _) = recent.query(&query, limit);
            entries.first().map_or(last, |first| first.id - 1)
        }
        None => recent.last(),
    };
    let clock = kernel.base.clock.clone();
    Ok(Reply::events(Follower { kernel, query, after, newest, ready, caught_up: false }.events(), clock))
}

/// The entry that an event's id names; none if it is of an earlier life of the gateway.
fn resumed(kernel: &Kernel, id: &str) -> Result<Option<u64>> {
    let parts = id.split_once('-').and_then(|(life, number)| Some((life, number.parse().ok()?)));
    match parts {
        Some((life, number)) => Ok((life == self::life(kernel)).then_some(number)),
        None => Err(Error::bad_request("`Last-Event-ID` must be the id of an event of this stream")),
    }
}

fn life(kernel: &Kernel) -> String {
    format!("{:x}", kernel.base.started.as_millisecond())
}

/// Says that entries are missing here, and how many where that is known.
fn gap(missed: Option<u64>) -> sse::Event {
    sse::Event::new("gap", &json!({"missed": missed}))
}

impl Follower {
    fn events(self) -> impl Stream<Item = sse::Event> + Send {
        stream::unfold(self, |mut follower| async {
            let event = follower.next().await?;
            Some((event, follower))
        })
    }

    /// The next event; none once the gateway stops.
    async fn next(&mut self) -> Option<sse::Event> {
        let stopping = self.kernel.base.stopping.clone();
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.caught_up {
                stopping.run_until_cancelled(self.wait()).await??;
            }
            self.read();
        }
    }

    /// Waits until there is something new to read; nothing if there never will be.
    async fn wait(&mut self) -> Option<()> {
        self.kernel.base.clock.sleep(vary(REST, 0.5..=1.0)).await;
        let newer = self.newest.wait_for(|newest| *newest > self.after).await;
        newer.is_ok().then_some(())
    }

    fn read(&mut self) {
        let batch = self.kernel.base.logs.recent.read(&self.query, self.after, BATCH);
        self.after = batch.next;
        self.caught_up = batch.entries.len() < BATCH;
        self.ready.extend((batch.missed > 0).then(|| gap(Some(batch.missed))));
        let life = life(&self.kernel);
        self.ready.extend(batch.entries.iter().map(|entry| sse::Event {
            name: "message",
            id: Some(format!("{life}-{}", entry.id)),
            data: entry.json(),
        }));
    }
}
