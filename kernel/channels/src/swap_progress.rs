//! How far a channel has come with code that it was offered, and what a reload reports of it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use prx_host::Generation;

/// How long a reload waits for a channel to take the new code over, in seconds.
const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it then waits for an event that shows whether the code works, in seconds.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The outcome of a swap of a channel's code, or of several channels': then the longest pause, and the sums.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Swap {
    /// How long no event was handled.
    pub pause: Duration,
    /// Events that were queued meanwhile.
    pub events_buffered: usize,
    /// Sockets and requests that the code before opened and the new code has.
    pub connections_kept: usize,
    /// Why the code before is back.
    pub rolled_back: Option<String>,
}

/// How far a channel has come with the code that it was offered.
#[derive(Debug, Clone, Default)]
pub(super) struct SwapProgress {
    /// The number of the newest generation it was offered.
    pub(super) offered: u64,
    /// Whether the code has shown whether it works, as far as a reload waits for that.
    pub(super) tried: bool,
    /// The outcome, where it took the place of other code.
    pub(super) swap: Swap,
}

impl SwapProgress {
    /// A channel that has begun with this generation, or could not.
    pub(super) fn begun(generation: &Generation) -> Self {
        Self { offered: generation.number, tried: true, swap: Swap::default() }
    }
}

/// Returns the outcome of offering a channel this generation. None: it has not taken it over in time, or is gone.
pub(super) async fn wait_for_outcome(
    mut progress: watch::Receiver<SwapProgress>,
    generation: u64,
) -> Option<Swap> {
    let offered = progress.wait_for(|progress| progress.offered >= generation);
    timeout(TAKEOVER_TIMEOUT, offered).await.ok()?.ok()?;
    // Where nothing happens there is nothing to try it on.
    let _ = timeout(TRIAL_TIMEOUT, progress.wait_for(|progress| progress.tried)).await;
    let progress = progress.borrow();
    Some(if progress.offered == generation { progress.swap.clone() } else { Swap::default() })
}

impl Swap {
    /// The outcomes of two channels as one.
    pub(super) fn merge(self, other: Self) -> Self {
        Self {
            pause: self.pause.max(other.pause),
            events_buffered: self.events_buffered + other.events_buffered,
            connections_kept: self.connections_kept + other.connections_kept,
            rolled_back: self.rolled_back.or(other.rolled_back),
        }
    }
}
