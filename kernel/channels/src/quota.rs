//! The quota of a connector: how much it may ask for at a time.

use std::collections::HashSet;

use super::pump::Work;
use prx_host::CallError;
use prx_host::bindings::common::{Fault, FaultCode};
use prx_host::bindings::connector as wire;

/// Timers of one channel that may be set at a time, and requests that may be in flight or queued in their lanes.
const MAX_OPEN: usize = 1_024;

/// Returns the step, if it stays within the quota of timers and requests.
///
/// # Errors
/// It does not: a fault of the connector's own.
pub(super) fn check(work: &Work, step: wire::Step) -> Result<wire::Step, CallError> {
    if work.timers.count().max(work.requests.count()) + step.commands.len() <= MAX_OPEN {
        return Ok(step);
    }
    let (timers, requests) = (work.timers.tokens(), work.requests.tokens());
    match exceeded(timers, requests, &step.commands) {
        None => Ok(step),
        Some(what) => {
            let message = format!("it has more than {MAX_OPEN} {what} at a time");
            Err(CallError::Fault(Fault { code: FaultCode::Quota, message }))
        }
    }
}

/// What would exceed the quota once these commands are carried out.
fn exceeded(timers: Vec<u64>, requests: Vec<u64>, commands: &[wire::Command]) -> Option<&'static str> {
    let mut timers: HashSet<u64> = timers.into_iter().collect();
    let mut requests: HashSet<u64> = requests.into_iter().collect();
    for command in commands {
        match command {
            wire::Command::Timer((token, _)) => drop(timers.insert(*token)),
            wire::Command::Http(request) => drop(requests.insert(request.token)),
            wire::Command::Cancel(token) => {
                timers.remove(token);
                requests.remove(token);
            }
            _ => {}
        }
    }
    match (timers.len() > MAX_OPEN, requests.len() > MAX_OPEN) {
        (true, _) => Some("timers set"),
        (_, true) => Some("requests under way"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timers(tokens: std::ops::Range<u64>) -> Vec<wire::Command> {
        tokens.map(|token| wire::Command::Timer((token, 1_000))).collect()
    }

    #[test]
    fn what_replaces_or_ends_another_takes_no_more_room() {
        let full: Vec<u64> = (0..1_024).collect();
        assert_eq!(exceeded(Vec::new(), Vec::new(), &timers(0..1_024)), None);
        assert_eq!(exceeded(Vec::new(), Vec::new(), &timers(0..1_025)), Some("timers set"));
        assert_eq!(exceeded(full.clone(), full.clone(), &timers(0..1_024)), None, "each is set anew");
        assert_eq!(exceeded(full.clone(), Vec::new(), &timers(5_000..5_001)), Some("timers set"));
        let mut instead = vec![wire::Command::Cancel(7)];
        instead.extend(timers(5_000..5_001));
        assert_eq!(exceeded(full, Vec::new(), &instead), None, "one goes, another comes");
    }
}
