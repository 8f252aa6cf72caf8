//! Skills: which one a message triggers, with what text, and what comes of it.

use tracing::{info, warn};

use super::context;
use super::failure::TurnFailure;
use super::work::Work;
use prx_host::bindings::skill;
use prx_host::{CallError, SkillEntry};
use prx_store::Role;

/// What a skill has to say about a turn.
pub(super) enum SkillOutcome {
    /// The whole reply.
    Reply(String),
    /// How the model is to go about it.
    Instruct(skill::Instructions),
    /// No skill was triggered, or it failed.
    Nothing,
}

/// Activates the skill that a turn's message triggers, if one does.
///
/// # Errors
/// The store has failed.
pub(super) async fn activate(work: &Work<'_>) -> Result<SkillOutcome, TurnFailure> {
    let (services, turn) = (work.services, work.turn);
    let skills = services.plugins.skills();
    let Some(Triggered { name, text }) = triggered(&skills, &turn.message.content) else {
        return Ok(SkillOutcome::Nothing);
    };
    let limit = services.base.config.current().agent.history_messages;
    let mut earlier = context::history(&services.store, turn, limit)?;
    earlier.retain(|message| message.id != turn.message.id && message.role != Role::Tool);
    let history = earlier.into_iter().map(|message| message.content).collect();
    let input = skill::SkillInput { text, history, session: turn.session.clone() };
    info!(skill = name, "skill activated");
    let scope = context::scope(&services.store, turn)?;
    match services.plugins.activate(name, &input, scope).await {
        Ok(skill::Activation::Reply(text)) => Ok(SkillOutcome::Reply(text)),
        Ok(skill::Activation::Instruct(instructions)) => Ok(SkillOutcome::Instruct(instructions)),
        // It was disabled between the look and the call: the message is answered without it.
        Err(CallError::NoSuch(_)) => Ok(SkillOutcome::Nothing),
        Err(CallError::Fault(fault)) => Ok(SkillOutcome::Reply(format!("{name}: {}", fault.message))),
        Err(failure) => {
            warn!(skill = name, %failure, "the skill failed; the message is answered without it");
            Ok(SkillOutcome::Nothing)
        }
    }
}

/// A skill that a message triggered.
struct Triggered<'a> {
    /// The skill's name.
    name: &'a str,
    /// The message without the trigger.
    text: String,
}

/// Finds the skill with whose trigger the message begins, in any case and by whole words; the longest trigger
/// wins, so that `/review` does not hide `/review-security`.
fn triggered<'a>(skills: &'a [SkillEntry], message: &str) -> Option<Triggered<'a>> {
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
