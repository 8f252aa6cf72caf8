//! The log lines of a channel.

use tracing::{Span, info_span};

use prx_host::{Generation, Level};

/// The span that every log line of a channel is in.
pub(super) fn span(channel: &str) -> Span {
    info_span!("channel", module = module(channel))
}

/// Writes a line of the connector's, as long as it stays below the rate limit for a plugin's lines.
pub(super) fn write(channel: &str, generation: &Generation, level: Level, message: &str) {
    generation.code.journal().write_as(&module(channel), level, message);
}

/// The value of `module` that the log lines of a channel are found by.
fn module(channel: &str) -> String {
    format!("channel::{channel}")
}
