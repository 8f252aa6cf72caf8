//! Showing that the agent is at work, while a turn runs and never after.

use std::collections::HashMap;
use std::time::Duration;

use super::exchange;
use super::input::Alarm;
use crate::events::Activity;
use crate::plugin::bindings::connector as wire;

/// Platforms show it for five seconds or more.
const AGAIN: Duration = Duration::from_millis(4500);

/// The conversations in which the agent is at work now.
#[derive(Default)]
pub(super) struct Typing(HashMap<String, wire::Target>);

impl Typing {
    /// Notes the begin or end of a turn. Rings at once for a conversation that was quiet.
    pub(super) fn report(&mut self, activity: &Activity) -> Option<Alarm> {
        let key = activity.target.to_string();
        if !activity.busy {
            self.0.remove(&key);
            return None;
        }
        let target = exchange::target(&activity.target).ok()?;
        self.0.insert(key.clone(), target).is_none().then_some(Alarm::Typing(key))
    }

    /// What to ask of the platform for a conversation in which the turn still runs, and when to ask again.
    pub(super) fn refresh(&self, key: &str) -> Option<(wire::Outbound, Duration)> {
        let target = self.0.get(key)?.clone();
        let id = format!("typing_{key}");
        let operation = wire::Operation::Typing;
        Some((wire::Outbound { id, target, operation, attempt: 1, maybe_duplicate: false }, AGAIN))
    }
}
