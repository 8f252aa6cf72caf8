//! Randomness that can be had again: each run prints its seed, and `PRX_TEST_SEED` sets it.

use std::env;
use std::hash::{BuildHasher, RandomState};

/// A small generator (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Seeded from `PRX_TEST_SEED`, or afresh; says which seed it is.
    #[expect(clippy::print_stderr, reason = "a failed run is repeated with its seed")]
    pub fn announced() -> Self {
        let given = env::var("PRX_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0));
        eprintln!("PRX_TEST_SEED={seed}");
        Self(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
