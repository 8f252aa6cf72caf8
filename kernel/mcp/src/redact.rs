//! Keeps the secrets of a process out of the log.

use prx_base::config::{REDACTED, Secret};

/// A line with these secrets blotted out.
pub(super) fn redact(line: &str, secrets: &[Secret]) -> String {
    let mut line = line.to_owned();
    for secret in secrets {
        line = line.replace(secret.expose(), REDACTED);
    }
    line
}
