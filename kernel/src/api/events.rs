//! What happens, as it happens.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::stream;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::gateway::Gateway;
use prx_base::clock::rfc3339;
use prx_base::error::{Error, Result};
use prx_base::events::Event;
use prx_http::parameter::{Matching, Parameter};
use prx_http::{Call, Doc, Reply, sse};
use prx_store::Store;

/// Events that a reader who is behind takes of the log in one go.
const MAX_BATCH: usize = 64;

const LAST_EVENT_ID: Parameter<Matching> =
    Parameter::new("Last-Event-ID", Matching("^[0-9]{1,19}$"), "go on after the event with this id");

pub(super) const STREAM: Doc =
    Doc::new("Follow what happens, as it happens").headers(&[&LAST_EVENT_ID]).or_as("text/event-stream");

/// `GET /events`
pub(super) async fn stream(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let bus = gateway.base.events.subscribe();
    let newest = gateway.store.newest_event()?;
    let seen = match call.headers.get(LAST_EVENT_ID.name()) {
        Some(id) => after(id.to_str().unwrap_or_default())?.min(newest),
        None => newest,
    };
    let follower = Follower {
        store: gateway.store.clone(),
        bus,
        stopping: gateway.process.stopping.clone(),
        seen,
        behind: seen < newest,
        ready: VecDeque::new(),
    };
    let events = stream::unfold(follower, |mut follower| async { Some((follower.next().await?, follower)) });
    Ok(Reply::events(events, gateway.base.clock.clone()))
}

fn after(id: &str) -> Result<u64> {
    id.parse().map_err(|_| {
        Error::bad_request(format!("`Last-Event-ID` must be the id of an event, a whole number, not {id:?}"))
    })
}

/// A reader of the log of events, who is told of new ones by the bus. Who is too slow for that reads on in the log.
struct Follower {
    store: Store,
    bus: Receiver<Arc<Event>>,
    stopping: CancellationToken,
    /// The number of the last event that is told.
    seen: u64,
    /// There are more in the log.
    behind: bool,
    ready: VecDeque<sse::Event>,
}

impl Follower {
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.behind {
                self.read_on();
                continue;
            }
            let event = tokio::select! {
                event = self.bus.recv() => event,
                () = self.stopping.cancelled() => return None,
            };
            match event {
                // It happened while the store took nothing, and is in no log.
                Ok(event) if event.seq == 0 => return Some(shown(None, &event)),
                Ok(event) if event.seq <= self.seen => {}
                Ok(event) if event.seq == self.seen + 1 => {
                    self.seen = event.seq;
                    return Some(shown(Some(event.seq), &event));
                }
                Ok(_) | Err(RecvError::Lagged(_)) => self.behind = true,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn read_on(&mut self) {
        // Where the store has failed, the next event tells that there is more to read.
        let page = self.store.events_after(self.seen, MAX_BATCH).unwrap_or_default();
        self.behind = page.events.len() == MAX_BATCH;
        if page.lost > 0 {
            self.ready.push_back(sse::Event::new("gap", &json!({ "missed": page.lost })));
        }
        for event in page.events {
            self.seen = event.seq;
            self.ready.push_back(sse_event(Some(event.seq), &event.name, event.at, &event.data));
        }
    }
}

fn shown(seq: Option<u64>, event: &Event) -> sse::Event {
    sse_event(seq, event.name.as_str(), event.timestamp, &event.data)
}

fn sse_event(seq: Option<u64>, name: &str, at: Timestamp, data: &Value) -> sse::Event {
    let data = json!({"type": name, "timestamp": rfc3339(at), "data": data});
    sse::Event { id: seq.map(|seq| seq.to_string()), ..sse::Event::new("message", &data) }
}
