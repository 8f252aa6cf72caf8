//! Secrets have a type of their own, so that showing one takes a deliberate call.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fmt, fs};

/// What every secret looks like outside the kernel.
pub const REDACTED: &str = "***REDACTED***";

/// The largest file that may hold a secret, in bytes.
const MAX_SECRET_BYTES: u64 = 64 << 10;

/// What to do about a variable that is missing.
const SET_IT: &str = "; set it for `prx serve` and start that again, or use file:PATH";

/// What [`Secret::resolve`] says, where another process's environment is what counts.
pub fn in_this_shell(problem: &str) -> String {
    match problem.strip_suffix(SET_IT) {
        Some(missing) => format!("{missing} in this shell; what counts is the environment of `prx serve`"),
        None => problem.to_owned(),
    }
}

/// Whether a setting stands for a value elsewhere: `env:NAME` or `file:PATH`.
pub fn is_reference(text: &str) -> bool {
    text.starts_with("env:") || text.starts_with("file:")
}

/// Whether what has this name, of a setting or of a header, is likely to be a secret.
pub fn sounds_secret(name: &str) -> bool {
    const WORDS: [&str; 9] =
        ["token", "secret", "password", "passwd", "key", "credential", "authorization", "bearer", "cookie"];
    let name = name.to_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

/// A value that is never printed, logged or answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    value: Arc<str>,
    /// From where on it is looked for in what servers answer; none: it is not.
    looked_for: Option<usize>,
}

impl Secret {
    /// Wraps a value that is known to be secret.
    pub fn new(value: impl Into<Arc<str>>) -> Self {
        Self { value: value.into(), looked_for: Some(0) }
    }

    /// The secret that a setting stands for: `env:NAME`, `file:PATH`, or the secret itself. A path that does not begin
    /// with a slash is looked for in `$CREDENTIALS_DIRECTORY` first, where systemd puts a service's credentials.
    ///
    /// # Errors
    /// There is none. Never repeats the setting but for the name it refers to.
    pub fn resolve(text: &str) -> Result<Self, String> {
        let secret = if let Some(name) = text.strip_prefix("env:") {
            env::var(name).map_err(|_| format!("the environment variable {name} is not set{SET_IT}"))?
        } else if let Some(path) = secret_file(text) {
            read(&path)?
        } else {
            text.to_owned()
        };
        if secret.is_empty() {
            return Err("the secret is empty".into());
        }
        Ok(Self::new(secret))
    }

    /// Why what a setting refers to is not there; none where it is, or where the setting is the secret itself.
    pub fn unresolved(text: &str) -> Option<String> {
        if is_reference(text) { Self::resolve(text).err() } else { None }
    }

    /// The value itself, for the one place that puts it into a request.
    pub fn expose(&self) -> &str {
        &self.value
    }

    /// The same, as a value that others may know, such as a program's title: what servers answer is not searched for it.
    #[must_use]
    pub fn unremarkable(self) -> Self {
        Self { looked_for: None, ..self }
    }

    /// The same behind a word that is no secret, as a header has it: `Bearer …`.
    #[must_use]
    pub fn behind(self, scheme: &str) -> Self {
        let before = scheme.len() + 1;
        let looked_for = self.looked_for.map(|from| from + before);
        Self { value: format!("{scheme} {}", self.value).into(), looked_for }
    }

    /// What of it is taken out of what servers answer.
    pub fn looked_for(&self) -> Option<&str> {
        self.value.get(self.looked_for?..)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// The file that `file:PATH` refers to.
pub fn secret_file(text: &str) -> Option<PathBuf> {
    let path = Path::new(text.strip_prefix("file:")?);
    let variable = ["$CREDENTIALS_DIRECTORY", "${CREDENTIALS_DIRECTORY}"];
    let within = variable.iter().find_map(|variable| path.strip_prefix(variable).ok());
    let credentials = env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    match (within, credentials) {
        (Some(within), Some(folder)) => Some(folder.join(within)),
        (None, Some(folder)) if path.is_relative() && folder.join(path).exists() => Some(folder.join(path)),
        _ => Some(path.to_owned()),
    }
}

/// A secret in a file, without the line break that editors put at the end.
fn read(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let about = fs::metadata(path).map_err(|error| {
        format!("{shown}: {error}; it is taken up as soon as it is there and can be read")
    })?;
    if !about.is_file() || about.len() > MAX_SECRET_BYTES {
        return Err(format!("{shown} is not a file of at most {MAX_SECRET_BYTES} bytes"));
    }
    let text = fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
