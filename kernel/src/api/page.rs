//! The bounds of a page of a list.

use prx_http::parameter::Number;

/// How many entries a page has.
pub(super) const LIMIT: Number = Number { min: 1, max: 500, default: 50 };
/// How many entries come before it.
pub(super) const OFFSET: Number = Number { min: 0, max: u32::MAX as usize, default: 0 };
