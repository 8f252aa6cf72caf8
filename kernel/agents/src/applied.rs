//! What a step of an agent comes to, once it is taken in.

use super::progress::Open;
use prx_host::bindings::agent as wire;
use prx_store::{AgentCommit, NewOutbound};

/// What a step comes to.
#[derive(Default)]
pub(super) struct Applied {
    /// What is to be done next.
    pub(super) begun: Vec<Open>,
    pub(super) said: Vec<NewOutbound>,
    pub(super) kept: AgentCommit,
    pub(super) finish: Option<wire::Finish>,
    /// For the operator.
    pub(super) logged: Vec<(wire::LogLevel, String)>,
}

impl Applied {
    /// Whether a crash may undo it: nothing was said, and all that is asked for can be asked for again, by the same step.
    pub(super) fn may_be_lost(&self) -> bool {
        use wire::Command::{AskModel, ReadSkillFile, Recall};
        let is_harmless = |open: &Open| matches!(open.command, AskModel(_) | ReadSkillFile(_) | Recall(_));
        self.said.is_empty()
            && self.kept.left.is_none()
            && self.kept.history_from.is_none()
            && self.begun.iter().all(is_harmless)
    }
}
