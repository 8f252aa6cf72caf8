//! Waiting for a condition instead of a while.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long anything may take before a test gives up on it. A bound against hanging, not a measure.
pub const TEST_TIMEOUT: Duration = Duration::from_secs(120);

/// Asks until there is an answer.
///
/// # Panics
/// When there is none within [`TEST_TIMEOUT`]; the message says what was waited for.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TEST_TIMEOUT;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
