//! Secrets have a type of their own, so that showing one takes a deliberate call.

use std::fmt;
use std::sync::Arc;

/// What every secret looks like outside the kernel.
pub const REDACTED: &str = "***REDACTED***";

/// A value that is never printed, logged or answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a value that is known to be secret.
    pub fn new(value: impl Into<Arc<str>>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that puts it into a request.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}
