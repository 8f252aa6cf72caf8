//! A plugin's lines for the operator.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::bindings::common;
use prx_base::clock::Clock;
use prx_base::text::is_format_control;

/// Most lines that one plugin writes in a second.
const MAX_LINES_PER_SECOND: u64 = 100;

/// Longest line, in bytes; the rest is cut off.
const MAX_LINE_BYTES: usize = 8 << 10;

/// How loud a plugin's line is.
pub type Level = common::LogLevel;

/// Where one plugin's lines go, over all of its instances.
///
/// Each becomes a `tracing` event of the target `plugin` whose field `module` is `plugin::<name>`.
#[derive(Debug)]
pub struct Journal {
    module: String,
    clock: Clock,
    /// The second in which `lines` were counted.
    second: AtomicU64,
    lines: AtomicU64,
}

impl Journal {
    pub(super) fn new(plugin: &str, clock: Clock) -> Self {
        Self {
            module: format!("plugin::{plugin}"),
            clock,
            second: AtomicU64::new(0),
            lines: AtomicU64::new(0),
        }
    }

    /// Writes one line, its control characters escaped. What goes beyond the plugin's rate is dropped and counted.
    pub fn write(&self, level: Level, message: &str) {
        self.write_as(&self.module, level, message);
    }

    /// The same, under the name of what the plugin works for.
    pub fn write_as(&self, module: &str, level: Level, message: &str) {
        if !self.admits() {
            return;
        }
        let message = printable(message);
        match level {
            Level::Trace => tracing::trace!(target: "plugin", module, "{message}"),
            Level::Debug => tracing::debug!(target: "plugin", module, "{message}"),
            Level::Info => tracing::info!(target: "plugin", module, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", module, "{message}"),
            Level::Error => tracing::error!(target: "plugin", module, "{message}"),
        }
    }

    fn admits(&self) -> bool {
        let now = self.clock.now_ms() / 1000;
        if self.second.swap(now, Relaxed) != now {
            let dropped = self.lines.swap(0, Relaxed).saturating_sub(MAX_LINES_PER_SECOND);
            if dropped > 0 {
                let module = &*self.module;
                tracing::warn!(target: "plugin", module, "{dropped} lines were dropped: over {MAX_LINES_PER_SECOND} in a second");
            }
        }
        self.lines.fetch_add(1, Relaxed) < MAX_LINES_PER_SECOND
    }
}

/// A line that cannot start another one, move the cursor or turn the reading direction.
fn printable(message: &str) -> String {
    let kept = &message[..message.floor_char_boundary(MAX_LINE_BYTES)];
    let mut line = String::with_capacity(kept.len());
    for c in kept.chars() {
        if is_format_control(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    if kept.len() < message.len() {
        let _ = write!(line, "… ({} bytes)", message.len());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(printable("a\nb\x1b[31mc\u{202e}d – ü"), "a\\nb\\u{1b}[31mc\\u{202e}d – ü");
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let line = printable(&"ü".repeat(MAX_LINE_BYTES));
        assert!(line.starts_with("üü") && line.ends_with("… (16384 bytes)"));
    }

    #[test]
    fn a_flood_is_dropped_until_the_next_second() {
        let clock = Clock::manual(jiff::Timestamp::UNIX_EPOCH);
        let journal = Journal::new("noisy", clock.clone());
        let admitted = (0..1000).filter(|_| journal.admits()).count();
        assert_eq!(admitted as u64, MAX_LINES_PER_SECOND);
        clock.advance(std::time::Duration::from_secs(1));
        assert!(journal.admits());
    }
}
