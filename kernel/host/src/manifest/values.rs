//! Texts in a manifest that have a form of their own.

use std::time::Duration;

use semver::VersionReq;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use prx_base::config::FilesGrant;
use prx_egress::Pattern;

/// How a name is put together, for people.
pub(super) const NAME_RULE: &str = "1 to 64 characters of a-z, 0-9, - and _, beginning with a letter";

/// How a place to say something in is written, for people.
pub(crate) const PLACE_RULE: &str =
    "write `channel` for all of it, or `channel/conversation`, with * for any piece, in 1 to 256 bytes";

const UNITS: [(&str, u32); 4] = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

/// Whether a text can name a plugin.
pub fn valid_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_'))
}

/// Whether a text can name a place to say something in, or several.
pub(crate) fn is_place(text: &str) -> bool {
    let (channel, conversation) = text.split_once('/').unwrap_or((text, "*"));
    let seen = |text: &str| !text.is_empty() && text.chars().all(prx_base::text::is_seen);
    text.len() <= 256 && seen(channel) && seen(conversation)
}

/// Bytes from a text such as `512KiB`.
pub fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (_, shift) = UNITS.iter().find(|(unit, _)| *unit == text[digits..].trim_start())?;
    text[..digits].parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// A text such as `512KiB`, which [`parse_size`] reads back to the same number.
pub fn format_size(bytes: u64) -> String {
    let unit = UNITS.iter().find(|(_, shift)| bytes.trailing_zeros() >= *shift && bytes != 0);
    let (unit, shift) = unit.unwrap_or(&("B", 0));
    format!("{}{unit}", bytes >> shift)
}

pub(super) fn name<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let text = String::deserialize(input)?;
    if valid_name(&text) { Ok(text) } else { Err(D::Error::custom(format!("a name is {NAME_RULE}"))) }
}

pub(super) fn version<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let text = String::deserialize(input)?;
    let fits = (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic());
    if fits { Ok(text) } else { Err(D::Error::custom("a version is a text such as \"1.2.0\"")) }
}

/// Versions that are wanted.
pub(super) fn requirement<'de, D: Deserializer<'de>>(input: D) -> Result<Option<VersionReq>, D::Error> {
    let text = String::deserialize(input)?;
    let wrong =
        |error| D::Error::custom(format!("{text:?} names no versions ({error}); write such as \">=0.2\""));
    VersionReq::parse(&text).map(Some).map_err(wrong)
}

pub(super) fn origins<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    let origins = Vec::<String>::deserialize(input)?;
    for origin in &origins {
        Pattern::parse(origin).map_err(|error| D::Error::custom(format!("{origin:?}: {error}")))?;
    }
    Ok(origins)
}

pub(super) fn size<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(input)?;
    let wrong = || D::Error::custom(format!("{text:?} is no size; write one such as \"64MiB\""));
    parse_size(&text).map(Some).ok_or_else(wrong)
}

/// The quota of a private directory: nothing where none is asked for.
pub(super) fn files<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    let text = FilesGrant::deserialize(input)?.into_size();
    let wrong = || D::Error::custom(format!("{text:?} is no size; write true, or one such as \"64MiB\""));
    parse_size(&text).map(|bytes| (bytes > 0).then_some(bytes)).ok_or_else(wrong)
}

pub(super) fn duration<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(input)?;
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|parsed| Duration::try_from(parsed).ok());
    match parsed.filter(|parsed| !parsed.is_zero()) {
        Some(parsed) => Ok(Some(parsed)),
        None => {
            Err(D::Error::custom(format!("{text:?} is no duration; write one such as \"2s\" or \"500ms\"")))
        }
    }
}
