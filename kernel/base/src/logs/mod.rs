//! Where log lines go. They carry `module`, `session_id` and the like as fields, not in their text.

use std::io::{self, IsTerminal};
use std::time::Duration;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{EnvFilter, ParseError, dynamic_filter_fn};
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use self::file::LogFile;
pub use self::layer::RingLayer;
pub use self::repeats::Repeats;
pub use self::ring::{Batch, Entry, Query, Ring};
use self::writer::LineWriter;
use crate::clock::Clock;
use crate::config;

mod file;
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
    file_lines: Option<LineWriter>,
    file: LogFile,
    /// The recent entries.
    pub recent: Ring,
    /// Warnings that repeat.
    pub repeats: Repeats,
}

impl Logs {
    /// Starts logging to stderr, to the file that the configuration names, and to a ring of recent entries. A process logs to one place: a second call changes
    /// nothing and still returns a handle.
    ///
    /// # Errors
    /// The level is neither a level nor a filter such as `info,prx::channel=debug`.
    pub fn start(format: Format, config: &config::Logs) -> Result<Self, ParseError> {
        let recent = Ring::new(retained(config));
        let (filter, handle) = reload::Layer::new(filter(config)?);
        let ring = RingLayer::new(recent.clone(), Clock::system());
        let repeats = Repeats::new(Clock::system());
        let queue = LineWriter::start().ok();
        let writer = match &queue {
            Some(queue) => BoxMakeWriter::new(queue.clone()),
            None => BoxMakeWriter::new(io::stderr),
        };
        let lines = lines(format, writer, io::stderr().is_terminal());
        let file = LogFile::default();
        file.configure(config);
        let file_queue = LineWriter::onto(file.writer()).ok();
        let file_lines = file_queue.clone().map(|queue| {
            let file = file.clone();
            let is_on = dynamic_filter_fn(move |_, _| file.is_on());
            self::lines(format, BoxMakeWriter::new(queue), false).with_filter(is_on)
        });
        // Only a second start in one process can fail here, and then the first one goes on.
        let layers = tracing_subscriber::registry().with(filter).with(lines).with(file_lines).with(ring);
        let _ = layers.with(repeats.clone()).try_init();
        Ok(Self { filter: handle, lines: queue, file_lines: file_queue, file, recent, repeats })
    }

    /// Waits until the lines so far are written, up to `limit`.
    pub fn flush(&self, limit: Duration) {
        for lines in [&self.lines, &self.file_lines].into_iter().flatten() {
            lines.flush(limit);
        }
    }

    /// Opens the log's file anew: somebody may have moved it.
    pub fn reopen(&self) {
        self.file.reopen();
    }

    /// Why lines are not in the log's file, if they are not.
    pub fn problem(&self) -> Option<String> {
        self.file.problem()
    }

    /// Changes what is logged from now on, and how much of it is kept.
    ///
    /// # Errors
    /// As for [`Logs::start`].
    pub fn configure(&self, config: &config::Logs) -> Result<(), ParseError> {
        self.recent.set_limit(retained(config));
        self.file.configure(config);
        let filter = filter(config)?;
        // The layer lives as long as the process; were it gone, there would be nothing to filter.
        let _ = self.filter.reload(filter);
        Ok(())
    }
}

fn retained(config: &config::Logs) -> usize {
    usize::try_from(config.retain_entries).unwrap_or(usize::MAX)
}

/// Writes an event as a line.
fn lines<S>(format: Format, writer: BoxMakeWriter, ansi: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        Format::Human => lines.fmt_fields(debug_fn(human::write).delimited(" ")).with_ansi(ansi).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    }
}

/// The filter of a level, and of those that modules have of their own. Libraries log from `warn` on, unless the filter names them; the one for MCP not at all, for
/// every error of a server comes back from it and is logged once.
fn filter(config::Logs { level, modules, .. }: &config::Logs) -> Result<EnvFilter, ParseError> {
    let mut filter = match level.parse::<LevelFilter>() {
        Ok(_) => format!("warn,rmcp=off,prx={level},plugin={level}"),
        Err(_) => modules::resolve(level),
    };
    for (module, level) in modules {
        for path in modules::paths(module) {
            filter.push_str(&format!(",{path}={level}"));
        }
    }
    EnvFilter::try_new(filter)
}
