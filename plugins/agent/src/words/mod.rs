//! What the agent itself says to people, one file a language.

mod de;
mod en;

/// The sentences of one language. `{}` stands for what is named beside it.
pub(crate) struct Words {
    pub new_conversation: &'static str,
    /// What it is that can be said, before the list.
    pub help: &'static str,
    /// Each command and what it does.
    pub commands: &'static [(&'static str, &'static str)],
    pub skills: &'static str,
    /// The model.
    pub status_model: &'static str,
    /// Messages, tokens.
    pub status_history: &'static str,
    pub status_summary: &'static str,
    /// The model.
    pub model_chosen: &'static str,
    /// What was asked for.
    pub model_unknown: &'static str,
    pub models: &'static str,
    /// How many messages.
    pub compacted: &'static str,
    pub nothing_to_compact: &'static str,
    pub cut_off: &'static str,
    pub refused: &'static str,
    pub no_calls_left: &'static str,
    pub forgotten: &'static str,
    /// The turn is the last of its session, and the next one knows what was said.
    pub session_ends: &'static str,
    /// The same where the next one only knows the end of it.
    pub session_ends_in_part: &'static str,
    /// Of the session before, not everything is known.
    pub part_is_known: &'static str,
}

/// The sentences for a language, by its BCP 47 tag; English where there are none.
pub(crate) fn of(setting: &str, spoken: Option<&str>) -> &'static Words {
    let tag = if setting == "auto" { spoken.unwrap_or_default() } else { setting };
    match tag.split('-').next() {
        Some(language) if language.eq_ignore_ascii_case("de") => &de::WORDS,
        _ => &en::WORDS,
    }
}

/// A sentence with what it speaks of.
pub(crate) fn with(sentence: &str, values: &[&str]) -> String {
    let mut pieces = sentence.split("{}");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for (n, piece) in pieces.enumerate() {
        text.push_str(values.get(n).copied().unwrap_or_default());
        text.push_str(piece);
    }
    text
}
