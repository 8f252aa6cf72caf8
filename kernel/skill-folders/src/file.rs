//! Reads one text within a folder.

use std::io::{self, ErrorKind, Read};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;

/// The file that makes a folder a skill.
pub(crate) const SKILL_FILE: &str = "SKILL.md";

/// Reads a text of at most so many bytes by its path within the folder.
///
/// # Errors
/// Why it can't be read, to stand after the file's path.
pub(crate) fn read(folder: &Dir, path: &str, max: u64) -> Result<String, String> {
    let about = folder.metadata(path).map_err(|error| why(&error))?;
    if about.is_dir() {
        return Err("is a folder".to_owned());
    }
    // Opening what is no file could wait for someone on its other end.
    let not_a_file = || "is no regular file".to_owned();
    if !about.is_file() {
        return Err(not_a_file());
    }
    let options = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).clone();
    let file = folder.open_with(path, &options).map_err(|error| why(&error))?;
    let about = file.metadata().map_err(|error| why(&error))?;
    if !about.is_file() {
        return Err(not_a_file());
    }
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(|error| why(&error))?;
    if bytes.len() as u64 > max {
        let (size, most) = (about.len(), max >> 10);
        return Err(format!("has {size} bytes; no more than {most} KiB are read"));
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err("is no text in UTF-8".to_owned()),
    }
}

/// What an error means to who wrote the path.
pub(crate) fn why(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => "is not there".to_owned(),
        // The system's own refusal has a number.
        ErrorKind::PermissionDenied if error.raw_os_error().is_none() => "leads out of the folder".to_owned(),
        _ => format!("can't be read: {error}"),
    }
}
