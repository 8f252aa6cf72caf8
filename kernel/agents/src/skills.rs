//! Skills: which one a message triggers, with what text, and what comes of it.

use tracing::{info, warn};

use super::context;
use super::failure::TurnFailure;
use super::work::Work;
use prx_host::bindings::skill;
use prx_host::{CallError, SkillEntry, after_trigger};
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
            let text = after_trigger(message, trigger)?.to_owned();
            Some((trigger.len(), Triggered { name: &skill.info.name, text }))
        })
    });
    found.max_by_key(|(length, _)| *length).map(|(_, triggered)| triggered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_begins_with_the_whole_trigger() {
        assert_eq!(after_trigger("/review fn main() {}", "/review"), Some("fn main() {}"));
        assert_eq!(after_trigger("  /Review", "/review"), Some(""));
        assert_eq!(after_trigger("TLDR: a long text", "tldr"), Some("a long text"));
        assert_eq!(after_trigger("Review this, please", "review this"), Some("please"));
        for other in ["please /review", "/reviewer", "/review-all", "/revieẅ", "", "/r"] {
            assert_eq!(after_trigger(other, "/review"), None, "{other}");
        }
    }
}
