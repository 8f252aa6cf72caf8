//! Which skill a message calls for, and with what text.

use crate::plugin::SkillEntry;

/// A skill that a message triggered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Triggered<'a> {
    /// The skill's name.
    pub(super) name: &'a str,
    /// The message without the trigger.
    pub(super) text: String,
}

/// Finds the skill whose trigger the message has; the longest trigger wins, so that `/review` does not hide
/// `/review-security`.
///
/// A trigger that begins with `/` is a command: it has to be the first word. Any other is a phrase, and may
/// stand anywhere, on word borders and in any case.
pub(super) fn triggered<'a>(skills: &'a [SkillEntry], message: &str) -> Option<Triggered<'a>> {
    let found = skills.iter().flat_map(|skill| {
        skill.info.triggers.iter().filter_map(|trigger| {
            let text = without(message, trigger)?;
            Some((trigger.len(), Triggered { name: &skill.info.name, text }))
        })
    });
    found.max_by_key(|(length, _)| *length).map(|(_, triggered)| triggered)
}

fn without(message: &str, trigger: &str) -> Option<String> {
    if trigger.is_empty() {
        return None;
    }
    if trigger.starts_with('/') {
        let message = message.trim_start();
        let first = message.split_whitespace().next()?;
        return first.eq_ignore_ascii_case(trigger).then(|| message[first.len()..].trim().to_owned());
    }
    let at = find_phrase(message, trigger)?;
    let (before, after) = (&message[..at], &message[at + trigger.len()..]);
    let glue = |c: char| c.is_whitespace() || matches!(c, ':' | ',' | '-');
    let (before, after) = (before.trim(), after.trim_matches(glue));
    Some(if before.is_empty() { after.to_owned() } else { format!("{before} {after}").trim().to_owned() })
}

fn find_phrase(message: &str, phrase: &str) -> Option<usize> {
    let border = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    let starts = message.char_indices().map(|(at, _)| at);
    let fits = |at: &usize| {
        let Some(piece) = message.get(*at..*at + phrase.len()) else { return false };
        piece.eq_ignore_ascii_case(phrase)
            && border(message[..*at].chars().next_back())
            && border(message[*at + phrase.len()..].chars().next())
    };
    starts.into_iter().find(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_the_first_word() {
        assert_eq!(without("/review fn main() {}", "/review").as_deref(), Some("fn main() {}"));
        assert_eq!(without("  /Review", "/review").as_deref(), Some(""));
        assert_eq!(without("please /review", "/review"), None);
        assert_eq!(without("/reviewer", "/review"), None);
    }

    #[test]
    fn a_phrase_stands_on_word_borders_anywhere() {
        assert_eq!(without("TLDR: a long text", "tldr").as_deref(), Some("a long text"));
        assert_eq!(without("can you review this, please", "review this").as_deref(), Some("can you please"));
        assert_eq!(without("preview this", "review this"), None);
        assert_eq!(without("ünï tldr", "tldr").as_deref(), Some("ünï"));
        assert_eq!(without("", "tldr"), None);
    }
}
