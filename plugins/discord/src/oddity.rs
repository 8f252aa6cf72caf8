//! What the platform sends that makes no sense here: counted, and logged now and then.

use std::collections::BTreeMap;

use prx_sdk::connector::{Commands, LogLevel};
use serde::{Deserialize, Serialize};

/// How often each kind came.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Oddities(BTreeMap<String, u32>);

impl Oddities {
    /// Counts one more of this kind. The log hears of the first, the tenth, the hundredth.
    pub(crate) fn note(&mut self, kind: &'static str, out: &mut Commands) {
        let count = self.0.entry(kind.to_owned()).or_default();
        *count = count.saturating_add(1);
        if is_power_of_ten(*count) {
            out.log(LogLevel::Warn, format!("ignored: {kind} ({count} so far)"));
        }
    }
}

fn is_power_of_ten(mut count: u32) -> bool {
    while count >= 10 && count.is_multiple_of(10) {
        count /= 10;
    }
    count == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_makes_a_line_for_each_power_of_ten() {
        let (mut oddities, mut out) = (Oddities::default(), Commands::default());
        (0..2_000).for_each(|_| oddities.note("a frame", &mut out));
        assert_eq!(Vec::from(out).len(), 4);
    }
}
