//! Traces: what a turn consists of and how long each part took, as spans, for a collector of the operator's. Where none is
//! configured nothing is noted. Nobody waits for whoever exports them: what finds no room is dropped and counted.
//!
//! Nothing of what is said, and no secret, stands in a span: only names of the operator's, ids, counts and times.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::clock::Clock;

/// Spans that have ended and may wait to be exported.
pub const CAPACITY: usize = 2048;

/// A cheap-clone handle to where spans are noted.
#[derive(Debug, Clone)]
pub struct Traces(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    is_on: AtomicBool,
    ended: mpsc::Sender<Ended>,
    /// There until somebody exports.
    waiting: Mutex<Option<mpsc::Receiver<Ended>>>,
    exported: AtomicU64,
    dropped: AtomicU64,
}

/// A place in a trace, as `traceparent` names it: [W3C Trace Context](https://www.w3.org/TR/trace-context/).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: u128,
    /// The span in it.
    pub span: u64,
    /// Whether spans of it are noted.
    pub is_sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent`; none where it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str, length| {
            text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        // Later versions may have more parts; the first one has not, and ff is none.
        let known = hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
        if !known || !hex(trace, 32) || !hex(span, 16) || !hex(flags, 2) {
            return None;
        }
        let (trace, span) = (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(span, 16).ok()?);
        let is_sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        (trace != 0 && span != 0).then_some(Self { trace, span, is_sampled })
    }

    /// The id of the trace, in 32 hexadecimal digits.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }

    /// As a `traceparent`.
    pub fn traceparent(self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.is_sampled))
    }
}

/// As a `traceparent`.
impl Serialize for TraceContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.traceparent())
    }
}

impl<'de> Deserialize<'de> for TraceContext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a traceparent"))
    }
}

/// What a span is to those around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Work of the gateway's own.
    Internal,
    /// A request to someone else.
    Client,
}

/// What a span says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A name or an id.
    Text(String),
    /// A count.
    Count(u64),
    /// Several names.
    Texts(Vec<String>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

/// A span that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Where it is.
    pub context: TraceContext,
    /// The span that it is part of.
    pub parent: Option<u64>,
    /// That one is a caller's.
    pub parent_is_remote: bool,
    /// What it is to those around it.
    pub kind: Kind,
    /// What was done.
    pub name: String,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// What it says of itself.
    pub attributes: Vec<(&'static str, Value)>,
    /// It failed; `error.type` says how.
    pub is_error: bool,
}

/// A span under way; it ends when it is dropped. Costs nothing where none is wanted, as by default.
#[derive(Debug, Default)]
#[must_use = "a span ends when it is dropped"]
pub struct Span(Option<Box<(Traces, Ended)>>);

impl Traces {
    /// Notes nothing until it is told to.
    pub fn new(clock: Clock) -> Self {
        let (ended, waiting) = mpsc::channel(CAPACITY);
        Self(Arc::new(Shared {
            clock,
            is_on: AtomicBool::new(false),
            ended,
            waiting: Mutex::new(Some(waiting)),
            exported: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }))
    }

    /// Notes spans from now on, or none.
    pub fn set_on(&self, is_on: bool) {
        self.0.is_on.store(is_on, Ordering::Relaxed);
    }

    /// The spans that end from now on, for whoever exports them; there is one.
    pub fn take(&self) -> Option<mpsc::Receiver<Ended>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Notes that so many were exported.
    pub fn count_exported(&self, spans: usize) {
        self.0.exported.fetch_add(spans as u64, Ordering::Relaxed);
    }

    /// Notes that so many never will be.
    pub fn count_dropped(&self, spans: usize) {
        self.0.dropped.fetch_add(spans as u64, Ordering::Relaxed);
    }

    /// How many spans were exported, and how many were dropped.
    pub fn counts(&self) -> (u64, u64) {
        (self.0.exported.load(Ordering::Relaxed), self.0.dropped.load(Ordering::Relaxed))
    }

    /// Begins the first span of what goes by an id: in the caller's trace, or in one that is told from the id, so that a
    /// second attempt is in the same one. It began at this moment.
    pub fn root(
        &self,
        id: &str,
        caller: Option<TraceContext>,
        began: Timestamp,
        name: impl FnOnce() -> String,
    ) -> Span {
        if !self.is_on() || caller.is_some_and(|caller| !caller.is_sampled) {
            return Span(None);
        }
        let trace = caller.map_or_else(|| trace_of(id), |caller| caller.trace);
        let mut span = self.begin(trace, caller.map(|caller| caller.span), Kind::Internal, name());
        if let Span(Some(open)) = &mut span {
            open.1.began = began;
            open.1.parent_is_remote = caller.is_some();
        }
        span
    }

    /// Begins a span within another one; none where that is none.
    pub fn within(&self, parent: Option<TraceContext>, kind: Kind, name: impl FnOnce() -> String) -> Span {
        match parent.filter(|parent| self.is_on() && parent.is_sampled) {
            Some(parent) => self.begin(parent.trace, Some(parent.span), kind, name()),
            None => Span(None),
        }
    }

    fn begin(&self, trace: u128, parent: Option<u64>, kind: Kind, name: String) -> Span {
        let now = self.0.clock.now();
        let span = getrandom::u64().unwrap_or_default().max(1);
        let ended = Ended {
            context: TraceContext { trace, span, is_sampled: true },
            parent,
            parent_is_remote: false,
            kind,
            name,
            began: now,
            ended: now,
            attributes: Vec::new(),
            is_error: false,
        };
        Span(Some(Box::new((self.clone(), ended))))
    }

    fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
    }
}

fn trace_of(id: &str) -> u128 {
    let digest = Sha256::digest(id.as_bytes());
    digest.iter().take(16).fold(0, |trace, byte| (trace << 8) | u128::from(*byte)).max(1)
}

impl Span {
    /// Where it is; none where nothing is noted.
    pub fn context(&self) -> Option<TraceContext> {
        self.0.as_ref().map(|open| open.1.context)
    }

    /// Says something of it: a name of the operator's, an id or a count, and nothing of what is said.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(open) = &mut self.0 {
            open.1.attributes.push((key, value.into()));
        }
    }

    /// Says that it failed: in which way, by a word of the gateway's.
    pub fn fail(&mut self, kind: &str) {
        if let Some(open) = &mut self.0 {
            open.1.is_error = true;
            open.1.attributes.push(("error.type", kind.into()));
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(open) = self.0.take() else { return };
        let (traces, mut ended) = *open;
        ended.ended = traces.0.clock.now().max(ended.began);
        if traces.0.ended.try_send(ended).is_err() {
            traces.count_dropped(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn traces() -> (Traces, mpsc::Receiver<Ended>, Clock) {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let traces = Traces::new(clock.clone());
        traces.set_on(true);
        let waiting = traces.take().expect("not taken yet");
        (traces, waiting, clock)
    }

    #[test]
    fn a_traceparent_is_read_as_the_standard_has_it_and_written_again() {
        let sound = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = TraceContext::parse(sound).unwrap();
        assert_eq!((context.traceparent().as_str(), context.is_sampled), (sound, true));
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(!TraceContext::parse(&sound.replace("-01", "-00")).unwrap().is_sampled);
        let kept = serde_json::to_value(context).unwrap();
        assert_eq!((&kept, serde_json::from_value(kept.clone()).unwrap()), (&sound.into(), context));
        assert!(TraceContext::parse(&format!("cc{}-more", &sound[2..])).is_some(), "a later version");
        for broken in [
            "",
            "00",
            &format!("{sound}-more"),
            &format!("ff{}", &sound[2..]),
            &sound.to_uppercase(),
            &sound.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &sound.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &sound[..54],
        ] {
            assert_eq!(TraceContext::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn spans_of_a_turn_are_one_trace_also_in_a_second_attempt() {
        let (traces, mut waiting, clock) = traces();
        let began = clock.now();
        clock.advance(Duration::from_secs(1));
        for _ in 0..2 {
            let mut root = traces.root("msg_1", None, began, || "turn".into());
            let mut child = traces.within(root.context(), Kind::Client, || "chat".into());
            child.fail("timeout");
            clock.advance(Duration::from_secs(1));
            drop(child);
            root.set("n", 1);
        }
        let all: Vec<Ended> = std::iter::from_fn(|| waiting.try_recv().ok()).collect();
        assert_eq!(all.len(), 4);
        assert!(all.iter().all(|span| span.context.trace == all[0].context.trace));
        assert_eq!((all[0].parent, all[1].parent), (Some(all[1].context.span), None));
        assert_eq!((all[1].began, all[1].ended), (began, began + Duration::from_secs(2)));
        assert_eq!((all[0].is_error, &all[0].attributes[0].1), (true, &Value::from("timeout")));
        assert_ne!(all[1].context.span, all[3].context.span);
    }

    #[test]
    fn a_caller_decides_for_its_own_trace_and_no_room_means_dropped() {
        let (traces, mut waiting, clock) = traces();
        let mut caller = TraceContext { trace: 7, span: 9, is_sampled: true };
        drop(traces.root("msg_1", Some(caller), clock.now(), || "turn".into()));
        let span = waiting.try_recv().unwrap();
        assert_eq!((span.context.trace, span.parent, span.parent_is_remote), (7, Some(9), true));
        caller.is_sampled = false;
        assert_eq!(traces.root("msg_1", Some(caller), clock.now(), || "turn".into()).context(), None);
        assert_eq!(traces.within(None, Kind::Client, || unreachable!()).context(), None);
        for _ in 0..CAPACITY + 3 {
            drop(traces.root("msg_1", None, clock.now(), || "turn".into()));
        }
        assert_eq!(traces.counts(), (0, 3));
        traces.set_on(false);
        drop(traces.root("msg_1", None, clock.now(), || "turn".into()));
        assert_eq!(traces.counts(), (0, 3), "nothing is noted");
    }
}
