//! Jobs and observers, called as a gateway calls them.

use std::cell::Cell;

use crate::action::{Action, Outgoing};
use crate::job::Job;
use crate::observer::{Happening, Observer};
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

/// Tells an observer of events of these kinds, with these data, as far as it wants them; all that are told on one thread are
/// numbered on. Holds what it does against what a gateway takes, whatever is granted.
///
/// # Errors
/// The observer's own.
///
/// # Panics
/// It wants to do what every gateway refuses.
pub fn observe<O: Observer>(events: &[(&str, serde_json::Value)]) -> Result<Vec<Action>, Fault> {
    thread_local! {
        static NEWEST: Cell<u64> = const { Cell::new(0) };
    }
    let numbered = events.iter().map(|(kind, data)| {
        let seq = NEWEST.get() + 1;
        NEWEST.set(seq);
        Happening { seq, kind: (*kind).to_owned(), at: seq * 1000, data: data.to_string() }
    });
    let wanted = |kind: &str| O::KINDS.iter().any(|pattern| fits(pattern, kind));
    let happenings: Vec<Happening> = numbered.filter(|happening| wanted(&happening.kind)).collect();
    if happenings.is_empty() {
        return Ok(Vec::new());
    }
    let actions = O::observe(happenings)?;
    check(&actions);
    Ok(actions)
}

/// Whether a name fits a pattern, in which `*` stands for any piece.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((first, rest)) => name.strip_prefix(first).is_some_and(|name| {
            (0..=name.len()).filter_map(|at| name.get(at..)).any(|name| fits(rest, name))
        }),
    }
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
