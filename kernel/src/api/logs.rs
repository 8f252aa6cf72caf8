//! The recent log: asked for, or followed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;
use tracing::Level;

use super::since;
use crate::gateway::Gateway;
use prx_base::clock::vary;
use prx_base::error::{Error, Result};
use prx_base::logs::{Entry, Query};
use prx_http::parameter::{AnyText, Flag, Matching, Number, OneOf, Parameter};
use prx_http::{Call, Doc, Reply, sse};

const LEVELS: [(&str, Level); 5] = [
    ("trace", Level::TRACE),
    ("debug", Level::DEBUG),
    ("info", Level::INFO),
    ("warn", Level::WARN),
    ("error", Level::ERROR),
];
/// How far ago a query looks that doesn't say.
const DEFAULT_WINDOW: Duration = Duration::from_secs(3600);
/// Entries that a follower takes in one go.
const MAX_BATCH: usize = 64;
/// How long a follower that has read everything rests: what is written meanwhile is read, and sent, in one go. Each
/// rests a little more or less than the others, so that a thousand of them don't come at the same moment.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Part of the log, newest last.
#[derive(Serialize, JsonSchema)]
struct Entries<'a> {
    entries: Vec<&'a Entry>,
    total: usize,
}

const LEVEL: Parameter<OneOf<Level>> =
    Parameter::new("level", OneOf { words: &LEVELS, default: Level::INFO }, "least level to return");
const MODULE: Parameter<AnyText> =
    Parameter::new("module", AnyText, "only entries of this part of the gateway");
const SINCE: Parameter<Matching> = Parameter::new(
    "since",
    since::SINCE,
    "only entries after this moment, or not longer ago than this; an hour if not said",
);
const LIMIT: Parameter<Number> =
    Parameter::new("limit", Number { min: 1, max: 1000, default: 100 }, "most entries to return");
const FOLLOW: Parameter<Flag> = Parameter::new("stream", Flag, "follow the log as it is written");
const LAST_EVENT_ID: Parameter<Matching> = Parameter::new(
    "Last-Event-ID",
    Matching("^[0-9a-f]{1,12}-[0-9]{1,12}$"),
    "go on after the event with this id",
);

pub(super) const LIST: Doc = Doc::new("Show the recent log, or follow it")
    .query(&[&LEVEL, &MODULE, &SINCE, &LIMIT, &FOLLOW])
    .headers(&[&LAST_EVENT_ID])
    .answers::<Entries>(&[200])
    .or_as("text/event-stream");

pub(super) const STREAM: Doc = Doc::new("Follow the log as it is written")
    .query(&[&LEVEL, &MODULE, &SINCE, &LIMIT])
    .headers(&[&LAST_EVENT_ID])
    .or_as("text/event-stream");

/// `GET /logs`
pub(super) async fn list(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let limit = call.query.get(&LIMIT)?;
    let query = query(&gateway, &call)?;
    if call.query.get(&FOLLOW)? {
        return follow(gateway, &call, query, limit);
    }
    let since = query.since.or_else(|| since::ago(&gateway.base.clock, DEFAULT_WINDOW));
    let (entries, total) = gateway.process.logs.recent.query(&Query { since, ..query }, limit);
    Reply::ok(&Entries { entries: entries.iter().map(|entry| &**entry).collect(), total })
}

/// `GET /logs/stream`
pub(super) async fn stream(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let limit = call.query.get(&LIMIT)?;
    let query = query(&gateway, &call)?;
    follow(gateway, &call, query, limit)
}

fn query(gateway: &Gateway, call: &Call) -> Result<Query> {
    Ok(Query {
        level: call.query.get(&LEVEL)?,
        module: call.query.get(&MODULE)?.filter(|module| !module.is_empty()).map(str::to_owned),
        since: call.query.get(&SINCE)?.map(|text| since::since(&gateway.base.clock, text)).transpose()?,
    })
}

/// Where a follower is, and what it has read and not sent yet. What it has not read costs it nothing.
struct Follower {
    gateway: Arc<Gateway>,
    query: Query,
    /// Number of the last entry it has read.
    after: u64,
    newest: watch::Receiver<u64>,
    ready: VecDeque<sse::Event>,
    /// Nothing was left to read the last time.
    caught_up: bool,
}

fn follow(gateway: Arc<Gateway>, call: &Call, query: Query, limit: usize) -> Result<Reply> {
    let recent = &gateway.process.logs.recent;
    let newest = recent.newest();
    let mut ready = VecDeque::new();
    let after = match call.headers.get(LAST_EVENT_ID.name()) {
        Some(id) => match parse_event_id(&gateway, id.to_str().unwrap_or_default())? {
            Some(after) => after.min(recent.last()),
            // The gateway was started anew since: nobody knows how much was missed.
            None => {
                ready.push_back(gap(None));
                0
            }
        },
        None if call.query.has(&SINCE) || call.query.has(&LIMIT) => {
            // Looked up first: what comes meanwhile is found, or follows.
            let last = recent.last();
            let (entries, _) = recent.query(&query, limit);
            entries.first().map_or(last, |first| first.id - 1)
        }
        None => recent.last(),
    };
    let clock = gateway.base.clock.clone();
    Ok(Reply::events(Follower { gateway, query, after, newest, ready, caught_up: false }.events(), clock))
}

/// The entry that an event's id names; none if it is of an earlier run_id of the gateway.
fn parse_event_id(gateway: &Gateway, id: &str) -> Result<Option<u64>> {
    let parts = id.split_once('-').and_then(|(run_id, number)| Some((run_id, number.parse().ok()?)));
    match parts {
        Some((run_id, number)) => Ok((run_id == self::run_id(gateway)).then_some(number)),
        None => Err(Error::bad_request("`Last-Event-ID` must be the id of an event of this stream")),
    }
}

fn run_id(gateway: &Gateway) -> String {
    format!("{:x}", gateway.process.started.as_millisecond())
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
        let stopping = self.gateway.process.stopping.clone();
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
        self.gateway.base.clock.sleep(vary(POLL_INTERVAL, 0.5..=1.0)).await;
        let newer = self.newest.wait_for(|newest| *newest > self.after).await;
        newer.is_ok().then_some(())
    }

    fn read(&mut self) {
        let batch = self.gateway.process.logs.recent.read(&self.query, self.after, MAX_BATCH);
        self.after = batch.next;
        self.caught_up = batch.entries.len() < MAX_BATCH;
        self.ready.extend((batch.missed > 0).then(|| gap(Some(batch.missed))));
        let run_id = run_id(&self.gateway);
        self.ready.extend(batch.entries.iter().map(|entry| sse::Event {
            name: "message",
            id: Some(format!("{run_id}-{}", entry.id)),
            data: entry.json(),
        }));
    }
}
