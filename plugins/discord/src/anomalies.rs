//! Frames and events from the platform that make no sense: counted, and logged at powers of ten.

use std::collections::BTreeMap;

use prx_sdk::connector::{Commands, LogLevel};
use serde::{Deserialize, Serialize};

/// How often each kind came.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Anomalies(BTreeMap<String, u32>);

impl Anomalies {
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
        let (mut anomalies, mut out) = (Anomalies::default(), Commands::default());
        (0..2_000).for_each(|_| anomalies.note("a frame", &mut out));
        assert_eq!(Vec::from(out).len(), 4);
    }
}
