//! Which skill a message calls for, and with what text.

use prx_host::SkillEntry;

/// A skill that a message triggered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Triggered<'a> {
    /// The skill's name.
    pub(super) name: &'a str,
    /// The message without the trigger.
    pub(super) text: String,
}

/// Finds the skill with whose trigger the message begins, in any case and by whole words; the longest trigger
/// wins, so that `/review` does not hide `/review-security`.
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
    let message = message.trim_start();
    let (begin, rest) = message.split_at_checked(trigger.len())?;
    let whole = rest.chars().next().is_none_or(|next| !next.is_alphanumeric() && !matches!(next, '-' | '_'));
    let fits = !trigger.is_empty() && whole && begin.eq_ignore_ascii_case(trigger);
    let glue = |c: char| c.is_whitespace() || matches!(c, ':' | ',');
    fits.then(|| rest.trim_start_matches(glue).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_begins_with_the_whole_trigger() {
        assert_eq!(without("/review fn main() {}", "/review").as_deref(), Some("fn main() {}"));
        assert_eq!(without("  /Review", "/review").as_deref(), Some(""));
        assert_eq!(without("TLDR: a long text", "tldr").as_deref(), Some("a long text"));
        assert_eq!(without("Review this, please", "review this").as_deref(), Some("please"));
        for other in ["please /review", "/reviewer", "/review-all", "/revieẅ", "", "/r"] {
            assert_eq!(without(other, "/review"), None, "{other}");
        }
    }
}
