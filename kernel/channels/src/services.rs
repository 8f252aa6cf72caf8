//! What every channel works with.

use prx_base::Base;
use prx_egress::Egress;
use prx_host::Plugins;
use prx_store::Store;

/// A cheap-clone handle to each service that a channel uses.
#[derive(Clone)]
pub(super) struct Services {
    pub(super) base: Base,
    pub(super) store: Store,
    pub(super) egress: Egress,
    pub(super) plugins: Plugins,
}
