//! Asking a person whether a tool may be called.

use std::time::Duration;

use tracing::info;

use super::stream::TurnEvent;
use super::{Work, reply};
use prx_base::error::Result;
use prx_store::{Approval, Decision, NewApproval};
use serde_json::Value;

/// What came of the question.
pub(super) enum Verdict {
    /// The tool may be called, this once.
    Allowed,
    /// It may not; says why.
    Refused(String),
}

/// Asks on the channel that the message came by, and whoever follows the turn, and waits for an answer until the
/// deadline. A turn that is taken up again goes on with the question it asked before.
///
/// # Errors
/// The store has failed.
pub(super) async fn ask(work: &Work<'_>, call: &str, tool: &str, arguments: &Value) -> Result<Verdict> {
    let (store, turn) = (&work.parts.store, work.turn);
    let patience = Duration::from_secs(work.parts.config.current().tools.ask_timeout_secs);
    let question = NewApproval {
        turn: turn.id(),
        call: call.into(),
        tool: tool.into(),
        arguments: arguments.clone(),
        user: turn.inbound.as_ref().map(|inbound| inbound.user_id.clone()),
        timeout: patience,
    };
    let id = store.new_approval_id();
    let sent = reply::question(turn, &id, tool, arguments);
    let approval = store.ask_approval(id, question, sent).await?;
    info!(tool, approval = approval.id, "the user is asked");
    work.said.event(TurnEvent::Approval(approval.clone()));
    let left = approval.expires_at.duration_since(work.parts.clock.now());
    work.presence.rest();
    let decided = tokio::select! {
        decided = decided(work, &approval) => Some(decided),
        () = work.parts.clock.sleep(left.try_into().unwrap_or_default()) => None,
    };
    work.presence.go_on();
    let decision = match decided {
        Some(decided) => decided?,
        None => store.decide_approval(&turn.session, &approval.id, Decision::Expired).await?,
    };
    info!(tool, approval = approval.id, ?decision, "the question is answered");
    Ok(match decision {
        Decision::Allow => Verdict::Allowed,
        Decision::Deny => Verdict::Refused("the user does not allow it".into()),
        Decision::Expired => Verdict::Refused(format!("the user did not allow it within {patience:?}")),
    })
}

async fn decided(work: &Work<'_>, approval: &Approval) -> Result<Decision> {
    let mut word = work.word.clone();
    loop {
        let now = work.parts.store.approval(&work.turn.session, &approval.id)?;
        match now.decision {
            Some(decision) => return Ok(decision),
            None if word.changed().await.is_ok() => {}
            None => std::future::pending().await,
        }
    }
}
