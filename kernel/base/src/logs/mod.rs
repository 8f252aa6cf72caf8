//! Where log lines go. They carry `module`, `session_id` and the like as fields, not in their text.

use std::io::{self, IsTerminal};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

pub use self::layer::RingLayer;
pub use self::repeats::Repeats;
pub use self::ring::{Batch, Entry, Query, Ring};
use self::writer::LineWriter;
use crate::clock::Clock;
use crate::config;

mod human;
mod layer;
mod modules;
mod repeats;
mod ring;
mod writer;

/// How a log line looks on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people: a line an event, in colour on a terminal.
    #[default]
    Human,
    /// For machines: a JSON object an event.
    Json,
}

/// A cheap-clone handle to the running log.
#[derive(Debug, Clone)]
pub struct Logs {
    filter: reload::Handle<EnvFilter, Registry>,
    lines: Option<LineWriter>,
    /// The recent entries.
    pub recent: Ring,
    /// Warnings that repeat.
    pub repeats: Repeats,
}

impl Logs {
    /// Starts logging to stderr, and to a ring of recent entries. A process logs to one place: a second call changes
    /// nothing and still returns a handle.
    ///
    /// # Errors
    /// The level is neither a level nor a filter such as `info,prx::channel=debug`.
    pub fn start(format: Format, config: &config::Logs) -> Result<Self, ParseError> {
        let recent = Ring::new(retained(config));
        let (filter, handle) = reload::Layer::new(filter(&config.level)?);
        let ring = RingLayer::new(recent.clone(), Clock::system());
        let repeats = Repeats::new(Clock::system());
        let queue = LineWriter::start().ok();
        let writer = match &queue {
            Some(queue) => BoxMakeWriter::new(queue.clone()),
            None => BoxMakeWriter::new(io::stderr),
        };
        let lines = tracing_subscriber::fmt::layer().with_writer(writer);
        let lines = match format {
            Format::Human => {
                let fields = debug_fn(human::write).delimited(" ");
                lines.fmt_fields(fields).with_ansi(io::stderr().is_terminal()).boxed()
            }
            Format::Json => lines.json().flatten_event(true).boxed(),
        };
        // Only a second start in one process can fail here, and then the first one goes on.
        let layers = tracing_subscriber::registry().with(filter).with(lines).with(ring);
        let _ = layers.with(repeats.clone()).try_init();
        Ok(Self { filter: handle, lines: queue, recent, repeats })
    }

    /// Waits until the lines so far are written, up to `limit`.
    pub fn flush(&self, limit: Duration) {
        if let Some(lines) = &self.lines {
            lines.flush(limit);
        }
    }

    /// Changes what is logged from now on, and how much of it is kept.
    ///
    /// # Errors
    /// As for [`Logs::start`].
    pub fn configure(&self, config: &config::Logs) -> Result<(), ParseError> {
        self.recent.set_limit(retained(config));
        let filter = filter(&config.level)?;
        // The layer lives as long as the process; were it gone, there would be nothing to filter.
        let _ = self.filter.reload(filter);
        Ok(())
    }
}

fn retained(config: &config::Logs) -> usize {
    usize::try_from(config.retain_entries).unwrap_or(usize::MAX)
}

/// The filter of a level. Libraries log from `warn` on, unless the filter names them; the one for MCP not at all, for
/// every error of a server comes back from it and is logged once.
fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    if level.parse::<LevelFilter>().is_ok() {
        EnvFilter::try_new(format!("warn,rmcp=off,prx={level},plugin={level}"))
    } else {
        EnvFilter::try_new(modules::resolve(level))
    }
}
