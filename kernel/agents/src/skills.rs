//! Skills, activated as an agent asks for it.

use super::context;
use super::entries::Entries;
use super::work::Work;
use prx_base::error::Code;
use prx_host::CallError;
use prx_host::bindings::common::{Fault, FaultCode};
use prx_host::bindings::{agent, skill};
use prx_store::Role;
use tracing::{info, warn};

/// What a skill makes of a text.
///
/// # Errors
/// It can't be had for this; says why.
pub(super) async fn activate(
    work: &Work<'_>,
    entries: &Entries,
    name: &str,
    text: String,
) -> Result<agent::Activation, Fault> {
    let said = entries.history().map(|said| &said.said).filter(|said| said.role != Role::Tool);
    let history = said.map(|said| said.content.clone()).collect();
    let input = skill::SkillInput { text, history, session: work.turn.session.clone() };
    info!(skill = name, "skill activated");
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

fn fault(code: FaultCode, message: &str) -> Fault {
    Fault { code, message: message.to_owned() }
}
