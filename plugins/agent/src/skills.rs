//! Skills: which one a message brings in, and the tool with which the model does so itself.

use prx_sdk::agent::{SkillSummary, ToolCall, ToolSpec};
use serde::Deserialize;

use crate::state::Turn;

/// The tool with which a model brings in a skill.
pub(crate) const TOOL: &str = "use_skill";

/// What a model asks of a skill.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    /// A file beside its description; none: how to go about it.
    #[serde(default)]
    pub(crate) file: Option<String>,
}

/// The tool, where there are skills and no tool of the gateway's has its name.
pub(crate) fn tool(turn: &Turn) -> Option<ToolSpec> {
    if turn.skills.is_empty() || turn.tools.iter().any(|tool| tool == TOOL) {
        return None;
    }
    let mut about = "Brings in a skill, which says how to go about something, or reads a file of one. Bring one in before \
                     you begin with what it is for:"
        .to_owned();
    for (name, description) in &turn.skills {
        about.push_str(&format!("\n- {name}: {description}"));
    }
    let parameters = r#"{"type":"object","properties":{"name":{"type":"string","description":"the skill"},"file":{"type":"string","description":"a file that the skill speaks of"}},"required":["name"]}"#;
    Some(ToolSpec { name: TOOL.to_owned(), description: about, parameters: parameters.to_owned() })
}

/// What a call of the tool wants.
///
/// # Errors
/// Its arguments are none; says what would do.
pub(crate) fn wanted(turn: &Turn, call: &ToolCall) -> Result<Wanted, String> {
    let wanted: Wanted = serde_json::from_str(&call.arguments)
        .map_err(|error| format!("takes an object with `name`, and `file` if one is wanted: {error}"))?;
    if turn.skills.iter().any(|(name, _)| *name == wanted.name) {
        return Ok(wanted);
    }
    let all = turn.skills.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    Err(format!("there is no skill {:?}; there are: {all}", wanted.name))
}

/// The skill with whose trigger the message begins, in any case and by whole words, and what follows it; the longest
/// trigger wins, so that `/review` does not hide `/review-security`.
pub(crate) fn triggered<'a>(skills: &'a [SkillSummary], message: &'a str) -> Option<(&'a str, &'a str)> {
    let found = skills.iter().flat_map(|skill| {
        skill
            .triggers
            .iter()
            .filter_map(|trigger| Some((trigger.len(), (skill.name.as_str(), after(message, trigger)?))))
    });
    found.max_by_key(|(length, _)| *length).map(|(_, found)| found)
}

fn after<'a>(message: &'a str, trigger: &str) -> Option<&'a str> {
    let mut rest = message.trim_start().chars();
    for wanted in trigger.chars() {
        let given = rest.next()?;
        if given != wanted && !given.to_lowercase().eq(wanted.to_lowercase()) {
            return None;
        }
    }
    let rest = rest.as_str();
    let is_whole =
        rest.chars().next().is_none_or(|next| !next.is_alphanumeric() && next != '-' && next != '_');
    is_whole.then(|| rest.trim_start_matches([':', ',']).trim())
}
