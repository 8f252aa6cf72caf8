//! Lengths and cuts as the platform counts them: in UTF-16 units.

pub(crate) use prx_sdk::text::{Fence, cut, units};

/// The most that one message holds.
pub(crate) const MAX_TEXT: usize = 4096;
