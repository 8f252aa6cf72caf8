//! The token budgets of a session and of a day, checked before a model is asked.

use super::command::NEW;
use super::work::Work;
use prx_base::error::{Code, Error, Result};

/// Checks that both budgets have tokens left. A completion is counted when it is done, so a budget is overdrawn by one
/// completion for each turn at work, at most.
///
/// # Errors
/// `rate_limited`: which budget is used up, and what to do; or the store has failed.
pub(super) fn check(work: &Work<'_>) -> Result<()> {
    let agent = &work.services.base.config.current().agent;
    if agent.max_tokens_per_session > 0 {
        let spent = work.services.store.session(&work.turn.session)?.token_usage.total();
        if spent >= agent.max_tokens_per_session {
            let on_channel = work.turn.inbound.is_some();
            let anew = if on_channel { format!("say {NEW} to begin another") } else { "open another".into() };
            return Err(used_up(format!(
                "This session has used {spent} of its {} tokens: {anew}, or have the operator raise \
                 agent.max_tokens_per_session",
                agent.max_tokens_per_session
            )));
        }
    }
    if agent.max_tokens_per_day > 0 {
        let spent = work.services.store.spent_today()?.total();
        if spent >= agent.max_tokens_per_day {
            return Err(used_up(format!(
                "Today's {} tokens are used up ({spent} so far): try again after midnight UTC, or have the operator \
                 raise agent.max_tokens_per_day",
                agent.max_tokens_per_day
            )));
        }
    }
    Ok(())
}

fn used_up(message: String) -> Error {
    Error::new(Code::RateLimited, message)
}
