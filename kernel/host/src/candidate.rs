//! A component that could become a plugin's next generation, and where it comes from.

use bytes::Bytes;

use super::catalog::Delivery;
use super::lock::Installed;

/// A component that could become a plugin's next generation.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) bytes: Bytes,
    pub(super) origin: Origin,
}

/// Where a candidate comes from.
#[derive(Clone)]
pub(super) enum Origin {
    /// It came with the gateway.
    Bundled,
    /// It lies in the folder of plugins.
    Folder {
        /// Where it is what loaded last: what is known of that.
        known: Option<Installed>,
    },
    /// It was delivered just now.
    Delivered(Delivery),
    /// It served before, and was kept.
    Kept(Installed),
}

impl Candidate {
    pub(super) fn is_bundled(&self) -> bool {
        matches!(self.origin, Origin::Bundled)
    }

    /// Whether it is no new code, but such as has loaded before.
    pub(super) fn has_loaded(&self) -> bool {
        match &self.origin {
            Origin::Bundled | Origin::Kept(_) => true,
            Origin::Folder { known } => known.is_some(),
            Origin::Delivered(_) => false,
        }
    }
}
