//! How much an agent may ask for: in a step, and in a turn.

use std::collections::BTreeSet;

use super::given::{self, OptionsFlaw, ToolFlaw};
use super::progress::Progress;
use prx_host::bindings::agent as wire;

/// Questions to models of one turn beyond one for each call of a tool.
pub(super) const SPARE_QUESTIONS: u32 = 20;
/// Most bytes of what an agent keeps of a session.
const MAX_STATE_BYTES: usize = 256 << 10;
/// Most bytes of what it leaves for the next session.
const MAX_CARRY_BYTES: usize = 64 << 10;
/// Most commands of one step.
const MAX_COMMANDS: usize = 1000;
/// Most bytes of a reply, of what is said before it, and of a result of its own.
const MAX_SAID_BYTES: usize = 1 << 20;
/// Most bytes of its own words in a question to a model. A step whole may not have more than a few of these.
const MAX_QUESTION_BYTES: usize = 1 << 20;
/// Most parts of a question to a model.
const MAX_PARTS: usize = 10_000;
/// Most tools that an agent answers itself.
const MAX_OWN_TOOLS: usize = 64;
/// Most bytes of what a model is told of one of them.
const MAX_OWN_TOOL_BYTES: usize = 64 << 10;
/// Most bytes of the options of a question.
const MAX_OPTIONS_BYTES: usize = 64 << 10;
/// Most bytes of anything else: a text to be found, a path.
const MAX_TEXT_BYTES: usize = 256 << 10;
/// Most choices of a question to a person.
const MAX_CHOICES: usize = 8;
/// Most bytes of a question to a person, and of one of its choices.
const MAX_ASKED_BYTES: usize = 4 << 10;
const MAX_CHOICE_BYTES: usize = 80;
/// Most steps of one turn.
const MAX_STEPS: u32 = 2000;
/// Most things that one turn says before its reply.
const MAX_SAID: usize = 100;
/// Whether a step is within its bounds, and the turn with it.
///
/// # Errors
/// Says what there is too much of, and how much may be.
pub(super) fn check(step: &wire::Step, progress: &Progress) -> Result<(), String> {
    let state = step.state.as_ref().map_or(0, Vec::len);
    let carry = step.carry.as_ref().map_or(0, Vec::len);
    at_most("bytes of state", state, MAX_STATE_BYTES)?;
    at_most("bytes for the next session", carry, MAX_CARRY_BYTES)?;
    at_most("commands", step.commands.len(), MAX_COMMANDS)?;
    if progress.steps >= MAX_STEPS {
        return Err(format!("the turn takes more than {MAX_STEPS} steps"));
    }
    let said = step.commands.iter().filter(|command| matches!(command, wire::Command::Say(_))).count();
    let said_before = progress.said as usize;
    at_most("things that it says before its reply", said_before + said, MAX_SAID)?;
    step.commands.iter().try_for_each(command)
}

fn command(command: &wire::Command) -> Result<(), String> {
    use wire::Command;
    match command {
        Command::AskModel(ask) => question(ask),
        Command::ToolResult(result) => at_most("bytes of a result", result.text.len(), MAX_SAID_BYTES),
        Command::Say(text) => at_most("bytes of a text", text.len(), MAX_SAID_BYTES),
        Command::Finish(wire::Finish { reply: wire::Reply::Text(text), .. }) => {
            at_most("bytes of a reply", text.len(), MAX_SAID_BYTES)
        }
        Command::ActivateSkill((_, (name, text))) | Command::ReadSkillFile((_, (name, text))) => {
            at_most("bytes for a skill", name.len() + text.len(), MAX_TEXT_BYTES)
        }
        Command::Recall((_, (text, _))) => at_most("bytes to be recalled by", text.len(), MAX_TEXT_BYTES),
        Command::AskPerson((_, (text, choices))) => {
            at_most("bytes of a question to a person", text.len(), MAX_ASKED_BYTES)?;
            at_most("choices", choices.len(), MAX_CHOICES)?;
            let ids: BTreeSet<&str> = choices.iter().map(|choice| choice.id.as_str()).collect();
            if ids.len() < choices.len().max(1) {
                return Err("it asks a person with no choices, or with two of one id".to_owned());
            }
            choices.iter().try_for_each(|choice| {
                if choice.id.is_empty() || choice.label.trim().is_empty() {
                    return Err("it asks a person with a choice without an id or a label".to_owned());
                }
                at_most("bytes of a choice", choice.id.len().max(choice.label.len()), MAX_CHOICE_BYTES)
            })
        }
        // What these may name is looked up, and a model's call has its bound already.
        Command::CallTool(_)
        | Command::Cancel(_)
        | Command::ForgetBefore(_)
        | Command::Finish(_)
        | Command::Log(_) => Ok(()),
    }
}

fn question(ask: &wire::AskModel) -> Result<(), String> {
    let own = ask.messages.iter().map(|part| match part {
        wire::Part::Text((_, text)) => text.len(),
        wire::Part::Entry(id) | wire::Part::Shortened((id, _)) => id.len(),
        wire::Part::Entries((first, last)) => first.len() + last.len(),
    });
    at_most("parts of a question to a model", ask.messages.len(), MAX_PARTS)?;
    at_most(
        "bytes of its own in a question to a model",
        own.sum::<usize>() + ask.system.len(),
        MAX_QUESTION_BYTES,
    )?;
    at_most("tools that it may call", ask.tools.len(), MAX_PARTS)?;
    at_most("tools of its own", ask.own_tools.len(), MAX_OWN_TOOLS)?;
    at_most("bytes of options", ask.options.len(), MAX_OPTIONS_BYTES)?;
    for tool in &ask.own_tools {
        let bytes = tool.name.len() + tool.description.len() + tool.parameters.len();
        at_most("bytes of a tool of its own", bytes, MAX_OWN_TOOL_BYTES)?;
    }
    match given::tool_flaw(&ask.own_tools) {
        Some(ToolFlaw::Name(name)) => {
            return Err(format!("it has a tool of its own whose name models don't take: {name:?}"));
        }
        Some(ToolFlaw::Twice(name)) => {
            return Err(format!("it has two tools of its own with the name {name}"));
        }
        Some(ToolFlaw::Schema(name)) => {
            return Err(format!("the parameters of its own tool {name} are no JSON Schema of an object"));
        }
        None => {}
    }
    match given::options(&ask.options) {
        Ok(_) => Ok(()),
        Err(OptionsFlaw::Ours(key)) => {
            Err(format!("it sets {key} in the options of a question, which is not an option"))
        }
        Err(OptionsFlaw::NoObject) => Err("the options of a question are no JSON object".to_owned()),
    }
}

fn at_most(what: &str, found: usize, most: usize) -> Result<(), String> {
    match found <= most {
        true => Ok(()),
        false => Err(format!("a step of it has {found} {what}; the most is {most}")),
    }
}
