//! How long things took, counted in fixed buckets: noting one costs two additions, and any number of counts can be put
//! together afterwards.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a decade of bounds is made of, in hundredths of its beginning.
const DECADE: [u64; 10] = [100, 125, 150, 200, 250, 300, 400, 500, 600, 800];
/// How many bounds there are: six decades, the first of which begins with a millisecond, and the beginning of a seventh.
const LEN: usize = DECADE.len() * 6 + 7;

/// The upper bounds of the buckets, in microseconds: from a millisecond to 4,000 seconds, each at most a third above the
/// one before.
pub const BOUNDS_US: [u64; LEN] = bounds();

const fn bounds() -> [u64; LEN] {
    let (mut bounds, mut at, mut unit) = ([0; LEN], 0, 10);
    while at < LEN {
        bounds[at] = DECADE[at % DECADE.len()] * unit;
        at += 1;
        if at % DECADE.len() == 0 {
            unit *= 10;
        }
    }
    bounds
}

/// Counts durations by the bucket that they fall into.
#[derive(Debug)]
pub struct Histogram {
    /// One for each of [`BOUNDS_US`], and one for what is longer than the last.
    counts: [AtomicU64; LEN + 1],
    sum_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| AtomicU64::new(0)), sum_us: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Notes one.
    pub fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// What was noted so far.
    pub fn distribution(&self) -> Distribution {
        let bounds = BOUNDS_US.iter().copied().chain([u64::MAX]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets = bounds.zip(counts).filter(|(_, count)| *count > 0).collect();
        Distribution { buckets, sum_us: self.sum_us.load(Ordering::Relaxed) }
    }
}

/// How many durations fell into which bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// By the bucket's upper bound in microseconds, of those that have any; `u64::MAX`: longer than the last one.
    pub buckets: BTreeMap<u64, u64>,
    /// All durations together, in microseconds.
    pub sum_us: u64,
}

impl Distribution {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.values().sum()
    }

    /// How many took at most so long. Exact where that is the bound of a bucket.
    pub fn at_most(&self, us: u64) -> u64 {
        self.buckets.range(..=us).map(|(_, count)| count).sum()
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        for (bound, count) in &other.buckets {
            *self.buckets.entry(*bound).or_default() += count;
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// What has come since an earlier state of the same one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let new = |(bound, count): (&u64, &u64)| {
            let before = earlier.buckets.get(bound).copied().unwrap_or_default();
            Some((*bound, count.saturating_sub(before))).filter(|(_, count)| *count > 0)
        };
        let buckets = self.buckets.iter().filter_map(new).collect();
        Self { buckets, sum_us: self.sum_us.saturating_sub(earlier.sum_us) }
    }

    /// The duration that so great a share of them (0 to 1) took at most, as near as the buckets tell; none where there are
    /// none.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let wanted = share * self.count() as f64;
        let mut below = 0.0;
        for (bound, count) in &self.buckets {
            let count = *count as f64;
            if below + count >= wanted {
                let at = BOUNDS_US.partition_point(|other| other < bound);
                let lower = at.checked_sub(1).map_or(0, |at| BOUNDS_US[at]);
                if *bound == u64::MAX {
                    return Some(Duration::from_micros(lower));
                }
                let within = ((wanted - below) / count).clamp(0.0, 1.0);
                let us = lower as f64 + within * (bound - lower) as f64;
                return Some(Duration::from_micros(us as u64));
            }
            below += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(all_ms: impl IntoIterator<Item = u64>) -> Histogram {
        let histogram = Histogram::default();
        all_ms.into_iter().for_each(|ms| histogram.observe(Duration::from_millis(ms)));
        histogram
    }

    #[test]
    fn bounds_rise_and_hold_what_prometheus_is_shown() {
        assert!(BOUNDS_US.windows(2).all(|pair| pair[0] < pair[1] && pair[1] * 3 <= pair[0] * 4));
        assert_eq!((BOUNDS_US[0], BOUNDS_US[LEN - 1]), (1_000, 4_000_000_000));
    }

    #[test]
    fn percentiles_are_as_near_as_a_bucket_is_wide() {
        let all = of(1..=1000).distribution();
        assert_eq!(all.count(), 1000);
        for (share, ms) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0)] {
            let found = all.percentile(share).unwrap().as_secs_f64() * 1e3;
            assert!((found / ms - 1.0).abs() < 0.02, "{share}: {found}");
        }
        assert_eq!(Distribution::default().percentile(0.5), None);
        let one = of([7]).distribution().percentile(0.5).unwrap();
        assert!((Duration::from_millis(6)..=Duration::from_millis(8)).contains(&one), "{one:?}");
        let endless = of([10_000_000]).distribution();
        assert_eq!(endless.percentile(0.99), Some(Duration::from_secs(4_000)), "not more than it knows");
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let histogram = of([1, 20, 300]);
        let first = histogram.distribution();
        [20, 4_000, 5_000_000].into_iter().for_each(|ms| histogram.observe(Duration::from_millis(ms)));
        let (all, second) = (histogram.distribution(), histogram.distribution().since(&first));
        assert_eq!((second.count(), second.at_most(20_000), second.at_most(u64::MAX)), (3, 1, 3));
        let mut sum = first.clone();
        sum.add(&second);
        assert_eq!(sum, all);
        let kept = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Distribution>(&kept).unwrap(), all);
    }
}
