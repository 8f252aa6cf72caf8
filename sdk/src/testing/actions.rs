//! Jobs, called as a gateway calls them.

use crate::action::{Action, Outgoing};
use crate::job::Job;
use crate::types::{Fault, UnixMs};

/// Runs a job, and holds what it does against what a gateway takes, whatever is granted. A gateway that ended in the
/// middle runs it once more under the same `run_id`: so can a test.
///
/// # Errors
/// The job's own.
///
/// # Panics
/// It wants to do what every gateway refuses.
pub fn run_job<J: Job>(name: &str, due: UnixMs, run_id: &str) -> Result<Vec<Action>, Fault> {
    let actions = J::run(name, due, run_id)?;
    check(&actions);
    Ok(actions)
}

fn check(actions: &[Action]) {
    assert!(actions.len() <= 100, "{} actions; a gateway takes 100 of a call", actions.len());
    let turns = actions.iter().filter(|action| matches!(action, Action::BeginTurn(_))).count();
    assert!(turns <= 10, "{turns} turns; a gateway begins 10 of a call");
    let bytes: usize = actions.iter().map(size).sum();
    assert!(bytes <= 256 << 10, "{bytes} bytes of actions; a gateway takes 256 KiB of a call");
    for action in actions {
        match action {
            Action::Send(Outgoing { text, .. }) | Action::BeginTurn(Outgoing { text, .. }) => {
                assert!(!text.trim().is_empty(), "there is nothing to say: {action:?}");
            }
            Action::Publish((name, about)) => {
                let about: Result<serde_json::Map<_, _>, _> = serde_json::from_str(about);
                assert!(about.is_ok(), "what an event is about is a JSON object: {action:?}");
                assert!(name.contains('.'), "an event is called <plugin>.<name>: {action:?}");
            }
        }
    }
}

fn size(action: &Action) -> usize {
    match action {
        Action::Send(outgoing) | Action::BeginTurn(outgoing) => outgoing.text.len(),
        Action::Publish((name, about)) => name.len() + about.len(),
    }
}
