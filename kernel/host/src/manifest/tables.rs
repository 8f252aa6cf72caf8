//! Settings that are tables: the headers of a plugin's requests, and fields of its own choice.

use std::collections::BTreeSet;

use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use prx_base::config::{Secret, is_reference, sounds_secret};
use prx_egress::is_reserved_header;

/// Most headers of one setting.
const MAX_HEADERS: usize = 32;
/// Most bytes of a header's value.
const MAX_HEADER_BYTES: usize = 8 << 10;
/// What a credential may stand behind.
const SCHEMES: [&str; 3] = ["bearer", "basic", "token"];
/// Most entries of a table.
const MAX_ENTRIES: usize = 64;
/// Most bytes of a table, as JSON.
const MAX_TABLE_BYTES: usize = 64 << 10;

/// Reads a table of headers: secrets all, so that no plugin sees them and nobody is shown them. Their names are those of the
/// headers, in small letters.
///
/// # Errors
/// Everything that is wrong, each with the header's name.
pub(super) fn headers(table: &Map<String, Value>) -> Result<Vec<(String, Secret)>, Vec<String>> {
    if table.len() > MAX_HEADERS {
        return Err(vec![format!(": has {} headers; {MAX_HEADERS} can be set", table.len())]);
    }
    let (mut read, mut problems, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (name, value) in table {
        let lower = name.to_ascii_lowercase();
        let checked = check_name(&lower).and_then(|()| self::value(&lower, value));
        match checked {
            Ok(_) if !names.insert(lower.clone()) => problems.push(format!(".{name}: is set twice")),
            Ok(secret) => read.push((lower, secret)),
            Err(problem) => problems.push(format!(".{name}: {problem}")),
        }
    }
    if problems.is_empty() { Ok(read) } else { Err(problems) }
}

fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let header = HeaderName::from_bytes(name.as_bytes()).ok().filter(|_| name.bytes().all(is_plain));
    match header {
        None => Err("is no name of a header: it has letters, digits, -, _ and . only".to_owned()),
        Some(header) if is_reserved_header(&header) => {
            Err("is a header of the gateway's own, and can't be set".to_owned())
        }
        Some(_) => Ok(()),
    }
}

/// The value of a header: a text, or one that stands elsewhere, also behind a scheme such as `Bearer`. One that is written out
/// and is no credential by its name, such as a program's title, is kept out of sight like the others, but is no reason to change
/// what a server answers.
fn value(name: &str, value: &Value) -> Result<Secret, String> {
    let text = value.as_str().ok_or("must be a text in quotes, env:NAME or file:PATH")?;
    let (scheme, rest) = without_scheme(text);
    let secret = Secret::resolve(rest)?;
    let secret = if scheme.is_empty() { secret } else { secret.behind(scheme) };
    let bytes = secret.expose().len();
    if bytes > MAX_HEADER_BYTES {
        return Err(format!("has {bytes} bytes; a header has {MAX_HEADER_BYTES} at most"));
    }
    if HeaderValue::from_str(secret.expose()).is_err() {
        return Err("has line breaks or characters that no header may have".to_owned());
    }
    let is_credential =
        is_reference(rest) || sounds_secret(name) || SCHEMES.contains(&&*scheme.to_lowercase());
    Ok(if is_credential { secret } else { secret.unremarkable() })
}

/// A header's scheme, which is no part of the secret that follows it; empty if there is none.
pub(super) fn without_scheme(value: &str) -> (&str, &str) {
    match value.split_once(' ') {
        Some((scheme, rest)) if is_reference(rest) || SCHEMES.contains(&&*scheme.to_lowercase()) => {
            (scheme, rest)
        }
        _ => ("", value),
    }
}

/// Holds a table against its bounds, and against the names that it may not have.
///
/// # Errors
/// What is wrong, as it follows the key.
pub(super) fn check(table: &Map<String, Value>, reserved: &[String]) -> Result<(), String> {
    if let Some(name) = table.keys().find(|name| reserved.contains(name)) {
        return Err(format!("can't have `{name}`, which is the gateway's own; take it out"));
    }
    let (entries, bytes) = (table.len(), serde_json::to_string(table).map_or(usize::MAX, |text| text.len()));
    match (entries, bytes) {
        (..=MAX_ENTRIES, ..=MAX_TABLE_BYTES) => Ok(()),
        (..=MAX_ENTRIES, _) => Err(format!("has {bytes} bytes of JSON; {MAX_TABLE_BYTES} can be set")),
        _ => Err(format!("has {entries} entries; {MAX_ENTRIES} can be set")),
    }
}
