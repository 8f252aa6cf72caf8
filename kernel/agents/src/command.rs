//! What people say to the gateway itself rather than to the agent, and what they are offered to say: `/new`, `/stop`,
//! and the answers to a question.

use super::words::{self, Words};
use prx_store::{Approval, Choice, Command, Decision};

/// Said alone, it begins a fresh session, as whose first message it is stored.
pub(crate) const NEW: &str = "/new";
/// Said alone, it stops the turn at work.
const STOP: &str = "/stop";

/// What a message asks of the gateway itself; none where it is all meant for the agent.
pub fn command(text: &str) -> Option<Command> {
    match text.trim() {
        NEW => Some(Command::NewSession),
        STOP => Some(Command::StopTurn),
        text => decision(text).map(Command::Decide),
    }
}

/// For platforms without buttons: the label of a choice, in any language, or its number.
fn decision(text: &str) -> Option<Decision> {
    let text = text.to_lowercase();
    let is = |label: &str| text == label.to_lowercase();
    match text.as_str() {
        "1" | "allow" => Some(Decision::Allow),
        "2" => Some(Decision::Deny),
        _ if words::ALL.iter().any(|words| is(words.allow) || is(words.yes)) => Some(Decision::Allow),
        _ if words::ALL.iter().any(|words| is(words.deny) || is(words.no)) => Some(Decision::Deny),
        _ => None,
    }
}

/// The choices of a person who is asked for an approval, in their order.
pub(crate) fn choices(approval: &str, words: &Words) -> Vec<Choice> {
    labelled(approval, [words.allow, words.deny])
}

/// The choices of a person whom an MCP server asks something, in their order: to allow is to answer yes.
pub(crate) fn answers(approval: &str, words: &Words) -> Vec<Choice> {
    labelled(approval, [words.yes, words.no])
}

/// The choices of a person whom the agent asks something, by their places.
pub(crate) fn numbered(approval: &str, choices: &[Choice]) -> Vec<Choice> {
    let places = choices.iter().enumerate();
    places
        .map(|(at, choice)| Choice { id: Approval::choice(approval, at), label: choice.label.clone() })
        .collect()
}

fn labelled(approval: &str, [yes, no]: [&str; 2]) -> Vec<Choice> {
    let [allow, deny] = Approval::choices(approval);
    vec![Choice { id: allow, label: yes.into() }, Choice { id: deny, label: no.into() }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_said_alone() {
        let (allow, deny) = (Some(Command::Decide(Decision::Allow)), Some(Command::Decide(Decision::Deny)));
        for (text, expected) in [
            (" /new ", Some(Command::NewSession)),
            ("/stop\n", Some(Command::StopTurn)),
            ("1", allow),
            (" Allow Once", allow),
            ("allow", allow),
            ("2", deny),
            ("DENY", deny),
            ("yes", allow),
            (" No", deny),
            ("einmal erlauben", allow),
            ("Nein", deny),
            ("/New", None),
            ("/new plan", None),
            ("please /stop", None),
            ("12", None),
            ("", None),
        ] {
            assert_eq!(command(text), expected, "{text:?}");
        }
    }
}
