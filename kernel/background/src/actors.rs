//! What acts without being asked, and what that takes.

use prx_host::{Filters, Plugins};

use super::lanes::Lanes;

/// A cheap-clone handle to the plugins that act, and to what holds them.
#[derive(Clone)]
pub struct Actors {
    /// The plugins.
    pub plugins: Plugins,
    /// What looks at what they say.
    pub filters: Filters,
    /// Whose turn it is.
    pub lanes: Lanes,
}
