//! What the kernel itself says to people, one file a language: where the agent can't speak, or is not to be trusted with the
//! words, as in a question whether a tool may be called.

pub(super) use self::sentences::Words;

mod de;
mod en;
mod sentences;

/// Every language there is.
pub(super) const ALL: [&Words; 2] = [&en::WORDS, &de::WORDS];

/// The sentences for a language, by its BCP 47 tag; English where there are none.
pub(super) fn of(tag: Option<&str>) -> &'static Words {
    match tag.and_then(|tag| tag.split('-').next()) {
        Some(language) if language.eq_ignore_ascii_case("de") => &de::WORDS,
        _ => &en::WORDS,
    }
}

/// A sentence with what it speaks of.
pub(super) fn with(sentence: &str, value: &str) -> String {
    sentence.replacen("{}", value, 1)
}
