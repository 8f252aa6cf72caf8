//! The builtin skills: `code_review` steers the model, `summarize` does without one.

mod sentences;
mod summary;

use prx_sdk::skill::{Activation, Fault, Instructions, Skill, SkillInfo, SkillInput};

const REVIEW: [&str; 2] = ["/review", "review this"];
const SUMMARIZE: [&str; 2] = ["/summarize", "tldr"];

/// Both skills.
pub struct Builtin;

impl Skill for Builtin {
    fn skills() -> Vec<SkillInfo> {
        vec![
            SkillInfo::new("code_review", "Reviews code: what breaks, what leaks, what to change.", &REVIEW),
            SkillInfo::new(
                "summarize",
                "Picks the sentences that say most, of a text or of the conversation.",
                &SUMMARIZE,
            ),
        ]
    }

    fn activate(name: &str, input: SkillInput) -> Result<Activation, Fault> {
        match name {
            "code_review" => Ok(Activation::Instruct(Instructions {
                text: include_str!("code_review.md").to_owned(),
                tools: Vec::new(),
            })),
            "summarize" => Ok(Activation::Reply(summarize(&input))),
            _ => Err(Fault::bad_input(format!("there is no skill `{name}`"))),
        }
    }
}

prx_sdk::plugin! { skill: Builtin, manifest: "plugin.toml" }

fn summarize(input: &SkillInput) -> String {
    let given = without_trigger(&input.text);
    let text = if given.is_empty() { input.history.join("\n\n") } else { given.to_owned() };
    let sentences = summary::summarize(&text);
    match sentences.as_slice() {
        [] => "There is nothing to summarize yet: put a text after `/summarize`, or talk first.".to_owned(),
        [one] => one.clone(),
        many => many.iter().map(|sentence| format!("- {sentence}")).collect::<Vec<_>>().join("\n"),
    }
}

/// The text alone, also where the message comes whole.
fn without_trigger(text: &str) -> &str {
    let text = text.trim();
    let rest = SUMMARIZE.iter().find_map(|trigger| {
        let (head, rest) = text.split_at_checked(trigger.len())?;
        (head.eq_ignore_ascii_case(trigger) && !rest.starts_with(char::is_alphanumeric)).then_some(rest)
    });
    rest.unwrap_or(text).trim_start_matches([':', ' ', '\n', '\t']).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activate(name: &str, text: &str, history: &[&str]) -> Result<Activation, Fault> {
        let history = history.iter().map(|&message| message.to_owned()).collect();
        Builtin::activate(name, SkillInput { text: text.to_owned(), history, session: "sess_1".to_owned() })
    }

    fn summary(text: &str, history: &[&str]) -> String {
        match activate("summarize", text, history) {
            Ok(Activation::Reply(reply)) => reply,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_review_steers_the_model_and_leaves_it_its_tools() {
        match activate("code_review", "fn main() {}", &[]) {
            Ok(Activation::Instruct(instructions)) => {
                assert!(instructions.text.contains("review"));
                assert!(instructions.tools.is_empty());
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_summary_is_of_the_text_or_else_of_the_conversation() {
        assert_eq!(summary("Rain is coming.", &["The sun shines."]), "Rain is coming.");
        assert_eq!(summary("/summarize Rain is coming.", &["The sun shines."]), "Rain is coming.");
        assert_eq!(summary("TLDR: Rain is coming.", &[]), "Rain is coming.");
        assert_eq!(summary("", &["The sun shines.", "It is warm."]), "- The sun shines.\n- It is warm.");
        assert_eq!(summary("/summarize", &["The sun shines."]), "The sun shines.");
        assert!(summary(" ", &[]).starts_with("There is nothing to summarize yet"));
    }

    #[test]
    fn an_unknown_skill_is_named() {
        assert_eq!(activate("dance", "", &[]), Err(Fault::bad_input("there is no skill `dance`")));
    }
}
