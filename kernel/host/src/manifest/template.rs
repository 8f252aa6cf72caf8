//! What a signature is of, where that is more than the body: `v0:{header:x-request-timestamp}:{body}`.

use hyper::header::HeaderName;
use serde::{Deserialize, Deserializer};

/// Most bytes of a template.
const MAX_BYTES: usize = 256;
/// Most placeholders in one.
const MAX_PLACEHOLDERS: usize = 8;

/// The pieces of what is signed, in order; without adjacent placeholders, and with the body once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(pub Vec<Piece>);

/// A piece of what is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// These characters.
    Text(String),
    /// The value of this header.
    Header(HeaderName),
    /// The request's body.
    Body,
}

impl Default for Template {
    /// The body alone.
    fn default() -> Self {
        Self(vec![Piece::Body])
    }
}

impl Template {
    /// The headers in it.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().filter_map(|piece| if let Piece::Header(name) = piece { Some(name) } else { None })
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("it has {} bytes, and {MAX_BYTES} at most", text.len()));
        }
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some(open) = rest.find(['{', '}']) {
            let end = rest[open..].find('}').map(|at| open + at).filter(|_| rest[open..].starts_with('{'));
            let Some(end) = end else { return Err(format!("a brace stands alone in {text:?}")) };
            if open > 0 {
                pieces.push(Piece::Text(rest[..open].to_owned()));
            }
            pieces.push(placeholder(&rest[open + 1..end])?);
            rest = &rest[end + 1..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        let is_text = |piece: &Piece| matches!(piece, Piece::Text(_));
        if pieces.iter().filter(|piece| !is_text(piece)).count() > MAX_PLACEHOLDERS {
            return Err(format!("it has more than {MAX_PLACEHOLDERS} placeholders"));
        }
        if pieces.iter().filter(|piece| **piece == Piece::Body).count() != 1 {
            return Err("the body has to be signed: it takes `{body}` once".into());
        }
        if pieces.windows(2).any(|pair| !is_text(&pair[0]) && !is_text(&pair[1])) {
            return Err(
                "something has to stand between two placeholders, or one could go on in the other".into()
            );
        }
        Ok(Self(pieces))
    }
}

fn placeholder(text: &str) -> Result<Piece, String> {
    if text == "body" {
        return Ok(Piece::Body);
    }
    let name = text.strip_prefix("header:").ok_or_else(|| {
        format!("`{{{text}}}` is no placeholder there is: `{{body}}` and `{{header:NAME}}` are")
    })?;
    let name = HeaderName::from_bytes(name.trim().as_bytes());
    name.map(Piece::Header).map_err(|_| format!("`{{{text}}}` does not name a header"))
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        Self::parse(&text)
            .map_err(|why| serde::de::Error::custom(format!("what is signed can't be read: {why}")))
    }
}
