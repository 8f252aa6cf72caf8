//! Warnings that repeat: the first is written, those within the next minute are counted, and then a line says how often it
//! was.

use std::collections::HashMap;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::modules;
use crate::clock::Clock;

/// How long a warning is counted after it was written: a minute.
const COUNTED_FOR: SignedDuration = SignedDuration::from_secs(60);
/// How often it is looked for what is to be told: every 5 seconds.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Warnings that are told apart at a time. Beyond that each is written.
const MAX_WARNINGS: usize = 1_000;
/// Of a message, what tells it from another, in bytes.
const MAX_MESSAGE_BYTES: usize = 500;
/// Fields that say in whose name something happens, not what: a warning in another's name is the same.
const WHOSE: [&str; 3] = ["request_id", "session_id", "trace_id"];

/// A cheap-clone handle to the warnings of the last minute.
#[derive(Debug, Clone)]
pub struct Repeats {
    clock: Clock,
    /// Held to count, never across a wait or while a line is written.
    seen: Arc<Mutex<HashMap<Warning, Seen>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Warning {
    level: Level,
    target: &'static str,
    message: String,
    about: String,
}

#[derive(Debug)]
struct Seen {
    since: Timestamp,
    /// How often it was not written.
    repeated: u64,
}

impl Repeats {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, seen: Arc::default() }
    }

    /// Writes how often warnings were repeated, for as long as it is run.
    pub async fn tell(self) {
        loop {
            self.clock.sleep(LOOK_INTERVAL).await;
            for (warning, times) in self.over() {
                let Warning { level, target, message, about } = warning;
                let module = modules::name(target).unwrap_or(target);
                if level == Level::ERROR {
                    tracing::error!(module, times, "repeated {times} times: {message}{about}");
                } else {
                    tracing::warn!(module, times, "repeated {times} times: {message}{about}");
                }
            }
        }
    }

    /// The warnings whose minute is over and that were repeated in it. They begin anew.
    fn over(&self) -> Vec<(Warning, u64)> {
        let now = self.clock.now();
        let mut over = Vec::new();
        self.lock().retain(|warning, seen| {
            let counts = now.duration_since(seen.since).abs() < COUNTED_FOR;
            if !counts && seen.repeated > 0 {
                over.push((warning.clone(), seen.repeated));
            }
            counts
        });
        over
    }

    /// Whether a warning is to be written. If not, it is counted.
    fn is_new(&self, warning: Warning) -> bool {
        let mut seen = self.lock();
        if let Some(seen) = seen.get_mut(&warning) {
            seen.repeated += 1;
            return false;
        }
        if seen.len() < MAX_WARNINGS {
            seen.insert(warning, Seen { since: self.clock.now(), repeated: 0 });
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Warning, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Repeats {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut said = Said::default();
        attributes.record(&mut said);
        if let Some(span) = context.span(id).filter(|_| !said.about.is_empty()) {
            span.extensions_mut().insert(said);
        }
    }

    fn event_enabled(&self, event: &Event<'_>, context: Context<'_, S>) -> bool {
        let level = *event.metadata().level();
        if level > Level::WARN {
            return true;
        }
        let mut said = Said::default();
        event.record(&mut said);
        let Said { message, mut about } = said;
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(Said { about: spans, .. }) = span.extensions().get() {
                about.push_str(spans);
            }
        }
        self.is_new(Warning { level, target: event.metadata().target(), message, about })
    }
}

/// What an event or its span says, as far as it tells it from others: not in whose name it happens, and no numbers, which
/// count.
#[derive(Default)]
struct Said {
    message: String,
    about: String,
}

impl Visit for Said {
    fn record_f64(&mut self, _: &Field, _: f64) {}

    fn record_i64(&mut self, _: &Field, _: i64) {}

    fn record_u64(&mut self, _: &Field, _: u64) {}

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string fails only if the value's own Debug does: what there is up to then is kept.
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
            self.message.truncate(self.message.floor_char_boundary(MAX_MESSAGE_BYTES));
        } else if !WHOSE.contains(&field.name()) && self.about.len() < MAX_MESSAGE_BYTES {
            let _ = write!(self.about, " {}={value:?}", field.name());
            self.about.truncate(self.about.floor_char_boundary(MAX_MESSAGE_BYTES));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_warning_that_repeats_is_written_once_and_counted() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let (repeats, lines) = (Repeats::new(clock.clone()), Lines::default());
        let text = || String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let layer =
            tracing_subscriber::fmt::layer().with_writer(lines.clone()).without_time().with_ansi(false);
        let subscriber = tracing_subscriber::registry().with(repeats.clone()).with(layer);
        tracing::subscriber::with_default(subscriber, || {
            for n in 0..50 {
                let request = tracing::info_span!("request", request_id = n.to_string());
                request.in_scope(|| tracing::warn!(channel = "one", n, "it does not answer"));
                let channel = tracing::info_span!("channel", module = "two");
                channel.in_scope(|| tracing::warn!(n, "it does not answer"));
                tracing::error!("broken");
                tracing::info!("fine");
            }
        });
        let count = |word: &str| text().lines().filter(|line| line.contains(word)).count();
        assert_eq!(
            (count("channel=\"one\""), count("module=\"two\""), count("broken"), count("fine")),
            (1, 1, 1, 50)
        );
        assert!(repeats.over().is_empty(), "the minute is not over");
        clock.advance(Duration::from_secs(60));
        let mut over: Vec<_> = repeats
            .over()
            .into_iter()
            .map(|(warning, times)| (warning.message + &warning.about, times))
            .collect();
        over.sort();
        let expected = ["broken", "it does not answer channel=\"one\"", "it does not answer module=\"two\""];
        assert_eq!(over, expected.map(|line| (line.to_owned(), 49)));
        assert!(repeats.over().is_empty() && repeats.lock().is_empty(), "and begin anew");
    }

    #[test]
    fn warnings_without_number_are_all_written() {
        let repeats = Repeats::new(Clock::manual(Timestamp::UNIX_EPOCH));
        let warning = |n: usize| Warning {
            level: Level::WARN,
            target: "prx",
            message: n.to_string(),
            about: String::new(),
        };
        assert!((0..3_000).all(|n| repeats.is_new(warning(n))));
        assert_eq!(repeats.lock().len(), MAX_WARNINGS);
        assert!(!repeats.is_new(warning(0)) && repeats.is_new(warning(2_999)));
    }
}
