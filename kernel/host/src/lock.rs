//! `plugins.lock`: what is installed, where it came from, and what there was before. It lies beside the files that it is
//! about, so that it goes where they go.
//!
//! It is read anew for each look and each change. One that can't be read is left as it is: nothing is put in place then.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Its name in the folder of plugins.
pub(super) const FILE: &str = "plugins.lock";
/// The most bytes that are read of it.
const MAX_BYTES: u64 = 8 << 20;
/// The version of its form.
const FORM: u32 = 1;
const HEAD: &str =
    "# What is installed, and where it came from. The gateway writes it; `prx plugin verify` compares it.\n";

/// The source of what came with the gateway.
pub(super) const BUNDLED: &str = "bundled";
/// The source of what was found in the folder of plugins.
pub(super) const FOLDER: &str = "folder";
/// The source of what was sent over the API.
pub const UPLOAD: &str = "upload";

/// A component that was put in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "InstalledComponent")]
pub struct Installed {
    /// The version that its manifest has.
    pub version: String,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// Its bytes.
    pub size: u64,
    /// `upload`, `folder` where it was found in the folder of plugins, `bundled`, or the URL that it was fetched from.
    pub source: String,
    /// When it was put in place; not said of what came with the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_at: Option<String>,
    /// Who did it: the id of a token, or `owner` for whoever may open the gateway's socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_by: Option<String>,
    /// The key that it is signed with, as `ed25519:` and base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
}

/// What is known of one plugin's files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Locked {
    /// The component that loaded last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) installed: Option<Installed>,
    /// Those before it that are kept, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) earlier: Vec<Installed>,
}

/// All of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Lock {
    form: u32,
    #[serde(default)]
    pub(super) plugins: BTreeMap<String, Locked>,
}

impl Lock {
    /// Reads the one in a folder; where there is none, nothing is known.
    ///
    /// # Errors
    /// `InvalidData` for one that can't be understood: where, and what to do.
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text)?;
        let lock: Self = toml::from_str(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
            unusable(&path, format_args!("line {line}: {}", error.message().trim_end().replace('\n', ", ")))
        })?;
        if lock.form > FORM {
            return Err(unusable(
                &path,
                format_args!("it is of form {}, and this gateway reads {FORM}", lock.form),
            ));
        }
        Ok(lock)
    }

    /// What there is to write; none where nothing is installed.
    pub(super) fn text(&self) -> io::Result<Option<String>> {
        if self.plugins.is_empty() {
            return Ok(None);
        }
        let whole = Self { form: FORM, plugins: self.plugins.clone() };
        let text = toml::to_string(&whole).map_err(io::Error::other)?;
        Ok(Some(format!("{HEAD}{text}")))
    }
}

impl Locked {
    /// Notes that a component has loaded, and with it what served before.
    pub(super) fn install(&mut self, new: Installed, before: Option<Installed>, keep: usize) {
        self.earlier.splice(0..0, before);
        // One that is back is no longer one before.
        self.earlier.retain(|earlier| earlier.sha256 != new.sha256);
        let mut seen = std::collections::BTreeSet::new();
        self.earlier.retain(|earlier| seen.insert(earlier.sha256.clone()));
        self.earlier.truncate(keep);
        self.installed = Some(new);
    }
}

fn unusable(path: &Path, why: std::fmt::Arguments<'_>) -> io::Error {
    let path = path.display();
    let message = format!(
        "{path}: {why}; mend it, or move it away (`mv {path} {path}.old`): what lies in the folder is then recorded anew, \
         as found there"
    );
    io::Error::new(ErrorKind::InvalidData, message)
}

/// Removes a file, if it is there.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(sha256: &str) -> Installed {
        Installed {
            version: "1.0.0".into(),
            sha256: sha256.into(),
            size: 7,
            source: UPLOAD.into(),
            installed_at: Some("2026-03-01T00:00:00Z".into()),
            installed_by: None,
            signed_by: None,
        }
    }

    #[test]
    fn each_component_is_kept_once_newest_first_and_no_more_than_are_wanted() {
        let mut locked = Locked::default();
        let mut before = None;
        for digest in ["a", "b", "c", "b", "d", "e"] {
            locked.install(component(digest), before.replace(component(digest)), 3);
        }
        let earlier: Vec<&str> = locked.earlier.iter().map(|one| &*one.sha256).collect();
        assert_eq!((locked.installed.unwrap().sha256.as_str(), earlier), ("e", vec!["d", "b", "c"]));
    }

    #[test]
    fn what_is_written_is_read_back_and_what_is_damaged_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert!(Lock::read(folder.path()).unwrap().plugins.is_empty());
        let mut lock = Lock::default();
        assert_eq!(lock.text().unwrap(), None);
        let locked = Locked { installed: Some(component("a")), earlier: vec![component("b")] };
        lock.plugins.insert("weather".into(), locked.clone());
        let text = lock.text().unwrap().unwrap();
        fs::write(&path, &text).unwrap();
        assert_eq!(Lock::read(folder.path()).unwrap().plugins["weather"], locked, "{text}");
        for (broken, why) in [
            (text.replacen("size = 7", "size = -7", 1), "line 7"),
            (text.replace("form = 1", "form = 2"), "it is of form 2, and this gateway reads 1"),
            (text[..text.len() / 2].to_owned(), "line "),
            (String::new(), "missing field `form`"),
        ] {
            fs::write(&path, &broken).unwrap();
            let error = Lock::read(folder.path()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(error.to_string().contains(why) && error.to_string().contains("`mv "), "{error}");
        }
    }
}
