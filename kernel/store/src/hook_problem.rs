//! What is wrong with a hook, and what mends it.

use jiff::{SignedDuration, Timestamp};

use super::hooks::HookState;
use super::settlement::ABANDONED_FOR;
use prx_base::clock::rfc3339;

/// How long a receiver may take nothing before that is a problem: 10 minutes.
const FAILING_FOR: SignedDuration = SignedDuration::from_mins(10);

/// Something that is wrong with a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookProblem {
    /// The hook's id.
    pub hook: String,
    /// What is wrong, in words.
    pub problem: String,
    /// What mends it.
    pub fix: String,
}

impl HookState {
    /// What is wrong with the hook at a moment. One that the operator has turned off has no problem.
    pub fn problems(&self, now: Timestamp) -> Vec<HookProblem> {
        let Self { hook, waiting, dropped, record, .. } = self;
        let id = &hook.id;
        let mut problems = Vec::new();
        let mut add = |problem: String, fix: String| {
            problems.push(HookProblem { hook: id.clone(), problem: format!("hook {id} {problem}"), fix });
        };
        let because = record.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        if !hook.active && !record.paused {
            let since = record.gone_at.map(|at| format!(" since {}", rfc3339(at))).unwrap_or_default();
            add(
                format!(
                    "is turned off{since}: its receiver answered 410 Gone ({waiting} deliveries wait, and no more are queued)"
                ),
                format!("turn it on again with `prx hook set {id} --active true`, or `prx hook remove {id}`"),
            );
        }
        if *dropped > 0 {
            add(
                format!("has lost {dropped} events, for its queue was full ({waiting} deliveries wait)"),
                format!(
                    "`prx hook show {id}`, and GET /hooks/{id}/deliveries, say why its receiver takes none; mend that, or \
                     `prx hook remove {id}`"
                ),
            );
        }
        let lately = record.given_up_at.is_some_and(|at| now.duration_since(at) < ABANDONED_FOR);
        if record.abandoned > 0 && lately {
            add(
                format!("has missed {} events, whose deliveries were given up{because}", record.abandoned),
                format!("mend its receiver, then `prx hook replay {id} --failed`"),
            );
        }
        let failing = record.failing_since.filter(|since| now.duration_since(*since) >= FAILING_FOR);
        if let Some(since) = failing.filter(|_| hook.active && problems.is_empty() && *waiting > 0) {
            let since = rfc3339(since);
            problems.push(HookProblem {
                hook: id.clone(),
                problem: format!(
                    "hook {id} has been failing since {since} ({waiting} deliveries wait){because}"
                ),
                fix: "mend its receiver; what waits is tried again by itself".to_owned(),
            });
        }
        problems
    }
}
