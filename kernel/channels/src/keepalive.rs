//! Heartbeats that keep a socket alive: what is sent when, what acknowledges it, and after how many missed
//! acknowledgements the other side counts as dead.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use tokio::time::Instant;

use super::convert;
use prx_egress::{Payload, Policy};
use prx_host::bindings::connector as wire;

/// Least interval between two heartbeats, in milliseconds.
const MIN_INTERVAL: Duration = Duration::from_millis(50);

/// The heartbeat that a connector asked for, as it is sent.
#[derive(Clone)]
pub(super) struct Keepalive {
    interval: Duration,
    first_after: Duration,
    payload: Payload,
    acknowledged_by: Option<Pattern>,
    missed_limit: u32,
}

/// The heartbeat of one socket.
pub(super) struct Heartbeat {
    keepalive: Keepalive,
    due: Instant,
    /// Since when an acknowledgement is waited for.
    waiting: Option<Instant>,
    missed: u32,
    /// Nothing was read for a while, so that an acknowledgement may have come: no timeout until the next heartbeat.
    timeout_suspended: bool,
}

/// What to do when a heartbeat is due.
pub(super) enum Action {
    /// Send this.
    Send(Payload),
    /// Too many heartbeats in a row were not acknowledged: the other side is dead.
    TimedOut,
}

/// The acknowledgement of a heartbeat, as proof of health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Acknowledged {
    /// How long it took.
    pub(super) after: Duration,
    /// How long it stands as proof.
    pub(super) good_for: Duration,
}

/// A value at a place in a JSON text.
#[derive(Debug, Clone, PartialEq)]
struct Pattern {
    path: Vec<String>,
    equals: Value,
}

impl Keepalive {
    /// Renders the heartbeat that the connector asked for, secrets put in.
    ///
    /// # Errors
    /// The payload can't be sent or the pattern can't be read; says why.
    pub(super) fn new(asked: wire::Keepalive, policy: &Policy) -> Result<Self, String> {
        let payload = convert::segments(asked.payload).and_then(|payload| Payload::render(&payload, policy));
        Ok(Self {
            interval: Duration::from_millis(asked.interval_ms.into()).max(MIN_INTERVAL),
            first_after: Duration::from_millis(asked.first_after_ms.into()),
            payload: payload.map_err(|failure| failure.reason)?,
            acknowledged_by: asked.acknowledged_by.map(Pattern::new).transpose()?,
            missed_limit: u32::from(asked.missed_limit).max(1),
        })
    }
}

impl Heartbeat {
    pub(super) fn start(keepalive: Keepalive, now: Instant) -> Self {
        Self {
            due: now + keepalive.first_after,
            keepalive,
            waiting: None,
            missed: 0,
            timeout_suspended: false,
        }
    }

    /// Takes over a newer keepalive. One of the same interval keeps the rhythm, and what is waited for.
    pub(super) fn renew(&mut self, keepalive: Keepalive, now: Instant) {
        if keepalive.interval == self.keepalive.interval {
            self.keepalive = keepalive;
        } else {
            *self = Self::start(keepalive, now);
        }
    }

    /// When the next heartbeat is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Nothing is read for now: no acknowledgement counts as missed that may be among what is unread.
    pub(super) fn suspend_timeout(&mut self) {
        self.timeout_suspended = true;
    }

    /// A heartbeat is due. Returns what to do.
    pub(super) fn tick(&mut self, now: Instant) -> Action {
        if self.waiting.is_some() && !self.timeout_suspended {
            self.missed += 1;
        }
        if self.missed >= self.keepalive.missed_limit {
            return Action::TimedOut;
        }
        self.timeout_suspended = false;
        if self.keepalive.acknowledged_by.is_some() {
            self.waiting = Some(now);
        }
        // A machine that slept does not catch up on what it slept through.
        self.due = (self.due + self.keepalive.interval).max(now + self.keepalive.interval / 2);
        Action::Send(self.keepalive.payload.clone())
    }

    /// Takes in a text that came: returns the acknowledgement, if it is one of the last heartbeat.
    pub(super) fn acknowledge(&mut self, text: &str, now: Instant) -> Option<Acknowledged> {
        let since = self.waiting?;
        if !self.keepalive.acknowledged_by.as_ref()?.matches(text) {
            return None;
        }
        (self.waiting, self.missed) = (None, 0);
        let good_for = self.keepalive.interval * (self.keepalive.missed_limit + 1);
        Some(Acknowledged { after: now.saturating_duration_since(since), good_for })
    }
}

impl Pattern {
    fn new(pattern: wire::Pattern) -> Result<Self, String> {
        let wire::Pattern { pointer, equals } = pattern;
        let equals = serde_json::from_str(&equals)
            .map_err(|error| format!("the acknowledgement's value is not JSON: {error}"))?;
        let path = match pointer.strip_prefix('/') {
            Some(path) => path.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect(),
            None if pointer.is_empty() => Vec::new(),
            None => return Err("the acknowledgement's place is no JSON pointer: begin it with /".into()),
        };
        Ok(Self { path, equals })
    }

    /// Whether a text is JSON with that value in that place. Builds nothing of what lies elsewhere.
    fn matches(&self, text: &str) -> bool {
        let mut json = serde_json::Deserializer::from_str(text);
        let seek = Seek { path: &self.path, equals: &self.equals };
        seek.deserialize(&mut json).unwrap_or(false) && json.end().is_ok()
    }
}

/// Walks to the end of a path and compares what is there.
struct Seek<'a> {
    path: &'a [String],
    equals: &'a Value,
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        match self.path {
            [] => Ok(Value::deserialize(json)? == *self.equals),
            _ => json.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let Some((step, path)) = self.path.split_first() else { return Ok(false) };
        let mut found = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == *step {
                found = map.next_value_seed(Seek { path, equals: self.equals })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let Some((step, path)) = self.path.split_first() else { return Ok(false) };
        let place = step.parse::<usize>().ok();
        let (mut found, mut at) = (false, 0);
        loop {
            if place == Some(at) {
                let Some(value) = list.next_element_seed(Seek { path, equals: self.equals })? else { break };
                found = value;
            } else if list.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
            at += 1;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prx_host::bindings::common::Segment;

    fn pattern(pointer: &str, equals: &str) -> Result<Pattern, String> {
        Pattern::new(wire::Pattern { pointer: pointer.into(), equals: equals.into() })
    }

    fn keepalive(interval_ms: u32, missed_limit: u8) -> Keepalive {
        let asked = wire::Keepalive {
            interval_ms,
            first_after_ms: 10,
            payload: vec![Segment::Text("beat".into())],
            acknowledged_by: Some(wire::Pattern { pointer: "/op".into(), equals: "11".into() }),
            missed_limit,
        };
        Keepalive::new(asked, &Policy::default()).unwrap()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_pattern_is_a_value_at_a_place() {
        for (pointer, equals, text) in [
            ("/op", "11", r#"{"t":null,"op":11,"d":{"op":3}}"#),
            ("/op", "11", r#" {"op" : 11} "#),
            ("/d/1/x~1y", "\"pong\"", r#"{"d":[0,{"x/y":"pong"},[]]}"#),
            ("/a~01", "null", r#"{"a~1":null}"#),
            ("/d", "{\"a\":[1]}", r#"{"d":{"a":[1]}}"#),
            ("", "\"pong\"", r#""pong""#),
        ] {
            assert!(pattern(pointer, equals).unwrap().matches(text), "{pointer} {text}");
        }
    }

    #[test]
    fn anything_else_does_not_match() {
        for text in [
            "",
            "11",
            "{",
            "[11]",
            r#"{"op":"11"}"#,
            r#"{"op":1}"#,
            r#"{"d":{"op":11}}"#,
            r#"{"op":11"#,
            r#"{"op":11} {}"#,
            r#"{"op":[11]}"#,
            "pong",
            "\u{0}",
        ] {
            assert!(!pattern("/op", "11").unwrap().matches(text), "{text}");
        }
        assert!(!pattern("/0", "1").unwrap().matches("[]"));
        let deep = "[".repeat(100_000);
        assert!(!pattern("/0/0/0", "1").unwrap().matches(&deep));
    }

    #[test]
    fn a_pattern_that_can_not_be_read_says_why() {
        assert!(pattern("op", "11").unwrap_err().contains("begin it with /"));
        assert!(pattern("/op", "pong").unwrap_err().contains("not JSON"));
    }

    #[test]
    fn what_is_acknowledged_goes_on_and_what_is_not_ends() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::start(keepalive(100, 2), start);
        assert_eq!(heartbeat.due(), start + ms(10));
        assert!(heartbeat.acknowledge(r#"{"op":11}"#, start).is_none(), "nothing was sent yet");
        assert!(matches!(heartbeat.tick(start + ms(10)), Action::Send(_)));
        assert!(heartbeat.acknowledge(r#"{"op":10}"#, start + ms(20)).is_none());
        let heard = heartbeat.acknowledge(r#"{"op":11}"#, start + ms(35));
        assert_eq!(heard, Some(Acknowledged { after: ms(25), good_for: ms(300) }));
        assert!(matches!(heartbeat.tick(start + ms(110)), Action::Send(_)));
        assert!(matches!(heartbeat.tick(start + ms(210)), Action::Send(_)), "one may be missed");
        assert!(matches!(heartbeat.tick(start + ms(310)), Action::TimedOut));
    }

    #[test]
    fn nothing_is_missed_while_nobody_listens() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::start(keepalive(100, 1), start);
        for n in 0..5 {
            assert!(matches!(heartbeat.tick(start + ms(10 + 100 * n)), Action::Send(_)));
            heartbeat.suspend_timeout();
        }
        assert!(matches!(heartbeat.tick(start + ms(510)), Action::Send(_)));
        assert!(matches!(heartbeat.tick(start + ms(610)), Action::TimedOut));
    }

    #[test]
    fn a_newer_payload_keeps_the_rhythm() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::start(keepalive(100, 1), start);
        assert!(matches!(heartbeat.tick(start + ms(12)), Action::Send(_)));
        assert_eq!(heartbeat.due(), start + ms(110), "a late beat does not make the next one late");
        heartbeat.renew(keepalive(100, 1), start + ms(60));
        assert_eq!(heartbeat.due(), start + ms(110));
        assert!(matches!(heartbeat.tick(start + ms(110)), Action::TimedOut), "what was missed stays missed");
        heartbeat.renew(keepalive(200, 1), start + ms(60));
        assert_eq!(heartbeat.due(), start + ms(70));
        assert!(matches!(heartbeat.tick(start + ms(5_000)), Action::Send(_)));
        assert_eq!(heartbeat.due(), start + ms(5_100), "what was slept through is not caught up on");
    }
}
