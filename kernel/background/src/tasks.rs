//! The end of what runs in the background.

use std::time::Duration;

use prx_base::clock::Clock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tells tasks to end, and waits so long for it. False: some are cut off.
pub(super) async fn end(
    tasks: &TaskTracker,
    stop: &CancellationToken,
    clock: &Clock,
    limit: Duration,
) -> bool {
    stop.cancel();
    tasks.close();
    tokio::select! {
        () = tasks.wait() => true,
        () = clock.sleep(limit) => false,
    }
}
