//! Skills, brought in as an agent asks for it.

use super::context::{self, Context};
use super::entries::Entries;
use super::work::Work;
use prx_base::config::fits;
use prx_base::error::Code;
use prx_host::bindings::common::{Fault, FaultCode, Instructions};
use prx_host::bindings::{agent, skill};
use prx_host::{CallError, LocalSkill};
use prx_store::Role;
use tracing::{info, warn};

/// What a skill makes of a text.
///
/// # Errors
/// It can't be had for this; says why.
pub(super) async fn activate(
    work: &Work<'_>,
    context: &Context,
    entries: &Entries,
    name: &str,
    text: String,
) -> Result<agent::Activation, Fault> {
    check(context, name)?;
    info!(skill = name, "skill activated");
    match work.services.plugins.local_skill(name) {
        Some(local) => instruct(context, name, &local).await,
        None => ask_plugin(work, entries, name, text).await,
    }
}

/// A file beside a skill's instructions.
///
/// # Errors
/// It can't be read; says why, for who named it.
pub(super) async fn read_file(
    work: &Work<'_>,
    context: &Context,
    name: &str,
    path: &str,
) -> Result<String, Fault> {
    check(context, name)?;
    let services = work.services;
    let Some(local) = services.plugins.local_skill(name) else {
        let is_there = services.plugins.skills().iter().any(|skill| skill.info.name == name);
        let why = if is_there { "it has no files" } else { "there is no such skill" };
        return Err(fault(FaultCode::BadInput, &format!("{name}: {why}")));
    };
    let text = local.file(path).await.map_err(|error| unusable(name, &error))?;
    Ok(super::tool::cut(text, services.base.config.current().tools.max_result_bytes))
}

/// Holds what an agent names against what it may bring in.
fn check(context: &Context, name: &str) -> Result<(), Fault> {
    let agent = &context.agent;
    match agent.has_skill(name) {
        true => Ok(()),
        false => {
            let why = format!("{name} is not among the skills of this agent (agents.{}.skills)", agent.name);
            Err(fault(FaultCode::Denied, &why))
        }
    }
}

/// The instructions of a folder, with the files that lie beside them.
async fn instruct(context: &Context, name: &str, local: &LocalSkill) -> Result<agent::Activation, Fault> {
    let (skill, mut text) = local.read().await.map_err(|error| unusable(name, &error))?;
    let beside = local.beside().await.map_err(|error| unusable(name, &error))?;
    if !beside.files.is_empty() {
        text.push_str(&format!("\n\nFiles of the skill {name}, each read by its path:\n{beside}"));
    }
    let tools = allowed_tools(context, name, &skill.tools);
    Ok(agent::Activation::Instruct(Instructions { text: text.trim_end().to_owned(), tools }))
}

/// The tools among those of the turn that fit the patterns of a skill. Skills are written for other products, too, whose
/// tools there are not here: such names are passed over, and where no name is known the skill says nothing of tools.
fn allowed_tools(context: &Context, skill: &str, patterns: &[String]) -> Vec<String> {
    let names: Vec<&str> = context.offered().map(|(tool, _)| tool.name()).collect();
    let is_unknown = |pattern: &&String| !names.iter().any(|name| fits(pattern, name));
    let unknown: Vec<&str> = patterns.iter().filter(is_unknown).map(String::as_str).collect();
    let allowed = names.iter().filter(|name| patterns.iter().any(|pattern| fits(pattern, name)));
    let allowed: Vec<String> = allowed.map(|name| (*name).to_owned()).collect();
    if !unknown.is_empty() {
        let of_all = if allowed.is_empty() { ", so all of the turn's tools stay" } else { "" };
        info!(skill, "its allowed-tools name tools that there are not here: {}{of_all}", unknown.join(", "));
    }
    allowed
}

async fn ask_plugin(
    work: &Work<'_>,
    entries: &Entries,
    name: &str,
    text: String,
) -> Result<agent::Activation, Fault> {
    let said = entries.history().map(|said| &said.said).filter(|said| said.role != Role::Tool);
    let history = said.map(|said| said.content.clone()).collect();
    let input = skill::SkillInput { text, history, session: work.turn.session.clone() };
    let scope = context::scope(&work.services.store, work.turn)
        .map_err(|error| fault(FaultCode::Unavailable, error.message()))?;
    work.services.plugins.activate(name, &input, scope).await.map_err(|failure| match failure {
        CallError::Fault(fault) => Fault { message: format!("{name}: {}", fault.message), ..fault },
        failure => {
            warn!(skill = name, %failure, "the skill failed");
            let code = match failure.clone().into_error(name).code() {
                Code::NotFound => FaultCode::BadInput,
                _ => FaultCode::Unavailable,
            };
            fault(code, &failure.to_string())
        }
    })
}

fn unusable(name: &str, error: &prx_base::error::Error) -> Fault {
    fault(FaultCode::BadInput, &format!("{name}: {}", error.message()))
}

fn fault(code: FaultCode, message: &str) -> Fault {
    Fault { code, message: message.to_owned() }
}
