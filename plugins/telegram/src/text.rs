//! Lengths and cuts as the platform counts them: in UTF-16 units.

pub(crate) use prx_sdk::text::{cut, units};

/// Most UTF-16 units of one message.
pub(crate) const MAX_TEXT: usize = 4096;
/// Most UTF-16 units of a file's caption.
pub(crate) const MAX_CAPTION: usize = 1024;
