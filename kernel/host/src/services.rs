//! What components reach through the kernel.

use prx_base::clock::Clock;
use prx_egress::Egress;
use prx_store::Store;

/// What components reach through the kernel.
#[derive(Clone)]
pub struct Services {
    /// Where their key-value data is, and the digests of what was compiled.
    pub store: Store,
    /// Their way out.
    pub egress: Egress,
    /// Their time.
    pub clock: Clock,
}
