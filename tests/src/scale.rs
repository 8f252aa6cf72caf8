//! How much of the same a test does: enough to show it in the suite, all of it when asked to.

use std::env;

/// A count for the suite, or with `PRX_TEST_SCALE=full` the one that was promised.
pub fn scaled(suite: usize, full: usize) -> usize {
    if env::var("PRX_TEST_SCALE").is_ok_and(|scale| scale == "full") { full } else { suite }
}
