//! A skill: `/standup` and what was done becomes the note for a stand-up meeting.
//!
//! It steers the model for one turn, and answers by itself where there is nothing to write about.

use prx_sdk::skill::{Activation, Fault, Instructions, Skill, SkillInfo, SkillInput};

const INSTRUCTIONS: &str = "Write the note for a stand-up meeting from what the user says they did, or from the \
conversation where they say nothing: three headings, Done, Next and Blocked, with at most three short points each, in \
the user's language. Leave out a heading with nothing under it. Make nothing up.";

/// The skill.
pub struct Standup;

impl Skill for Standup {
    fn skills() -> Vec<SkillInfo> {
        vec![SkillInfo::new("standup", "Writes the note for a stand-up meeting.", &["/standup"])]
    }

    fn activate(_: &str, input: SkillInput) -> Result<Activation, Fault> {
        if input.text.is_empty() && input.history.is_empty() {
            return Ok(Activation::Reply("Say what you did after `/standup`, or talk first.".into()));
        }
        Ok(Activation::Instruct(Instructions { text: INSTRUCTIONS.into(), tools: Vec::new() }))
    }
}

prx_sdk::plugin! { skill: Standup, manifest: "plugin.toml" }

#[cfg(test)]
mod tests {
    use super::*;

    fn activate(text: &str, history: &[&str]) -> Activation {
        let history = history.iter().map(|&message| message.to_owned()).collect();
        let input = SkillInput { text: text.into(), history, session: "sess_1".into() };
        Standup::activate("standup", input).expect("an answer")
    }

    #[test]
    fn the_model_is_steered_where_there_is_something_to_write_about() {
        for (text, history) in [("fixed the door", &[][..]), ("", &["I fixed the door"][..])] {
            assert!(
                matches!(activate(text, history), Activation::Instruct(told) if told.text.contains("Blocked"))
            );
        }
        assert!(matches!(activate("", &[]), Activation::Reply(said) if said.contains("/standup")));
    }
}
