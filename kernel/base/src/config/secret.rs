//! Secrets have a type of their own, so that showing one takes a deliberate call.

use std::sync::Arc;
use std::{env, fmt, fs};

/// What every secret looks like outside the kernel.
pub const REDACTED: &str = "***REDACTED***";

/// The largest file that may hold a secret, in bytes.
const MAX_SECRET_BYTES: u64 = 64 << 10;

/// A value that is never printed, logged or answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a value that is known to be secret.
    pub fn new(value: impl Into<Arc<str>>) -> Self {
        Self(value.into())
    }

    /// The secret that a setting stands for: `env:NAME`, `file:PATH`, or the secret itself.
    ///
    /// # Errors
    /// There is none. Never repeats the setting but for the name it refers to.
    pub fn resolve(text: &str) -> Result<Self, String> {
        let secret = if let Some(name) = text.strip_prefix("env:") {
            env::var(name).map_err(|_| format!("the environment variable {name} is not set"))?
        } else if let Some(path) = text.strip_prefix("file:") {
            read(path)?
        } else {
            text.to_owned()
        };
        if secret.is_empty() {
            return Err("the secret is empty".into());
        }
        Ok(Self::new(secret))
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

/// A secret in a file, without the line break that editors put at the end.
fn read(path: &str) -> Result<String, String> {
    let about = fs::metadata(path).map_err(|error| format!("{path}: {error}"))?;
    if !about.is_file() || about.len() > MAX_SECRET_BYTES {
        return Err(format!("{path} is not a file of at most {MAX_SECRET_BYTES} bytes"));
    }
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
