//! A rate limit of the connector's own.

use serde::{Deserialize, Serialize};

/// A rate limit: `burst` at once, and from then on one every `every_ms`.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Budget {
    /// When everything that was done would have been done at the steady pace.
    due: u64,
}

impl Budget {
    /// Takes one, or says how many milliseconds there are to wait for one.
    pub fn take(&mut self, now: u64, every_ms: u64, burst: u64) -> Result<(), u64> {
        let due = self.due.max(now);
        let ahead = due - now;
        let room = every_ms * burst.saturating_sub(1);
        // A clock that was set back would make for a wait without end.
        if ahead > room && ahead <= room + every_ms {
            return Err(ahead - room);
        }
        self.due = if ahead > room { now + every_ms } else { due + every_ms };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_in_its_time() {
        let mut budget = Budget::default();
        let taken = (0..100_000).filter(|now| budget.take(1_000_000 + now, 1000, 20).is_ok()).count();
        assert_eq!(taken, 20 + 99, "twenty at once, then one a second");
        assert_eq!(budget.take(1_100_000, 1000, 20), Ok(()));
        assert_eq!(budget.take(1_100_000, 1000, 20), Err(1000));
        assert_eq!(budget.take(5, 1000, 20), Ok(()), "a clock set back stops nothing");
    }
}
