//! Callers without a valid token, summed up: a line a minute, however many they are, and an entry of the audit log for
//! those who tried a token.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use prx_base::clock::Clock;
use prx_store::{RefusedCallers, Store};

/// How long unauthorized callers are counted before a line tells of them: a minute.
const SUMMED_FOR: Duration = Duration::from_secs(60);
/// How long after a quiet minute, so that the first ones are seen soon: 2 seconds.
const SUMMED_FIRST: Duration = Duration::from_secs(2);
/// Addresses that are told apart; of more, only the requests are counted.
const MAX_ADDRESSES: usize = 10_000;

/// A cheap-clone handle to the unauthorized callers that no line has told of.
#[derive(Clone)]
pub(super) struct UnauthorizedCallers {
    clock: Clock,
    shutdown: CancellationToken,
    /// Held to count, never across a wait.
    counted: Arc<Mutex<Counted>>,
}

#[derive(Default)]
struct Counted {
    /// None while nobody waits to tell of them.
    seen: Option<Seen>,
    /// The last minute had some, so that the next line waits for a whole one.
    busy: bool,
}

/// Those of one line.
#[derive(Debug, Default)]
struct Seen {
    requests: u64,
    /// Requests that came with a token, or something like it.
    with_token: u64,
    addresses: HashSet<IpAddr>,
    first: Option<IpAddr>,
}

impl UnauthorizedCallers {
    pub(super) fn new(clock: Clock, shutdown: CancellationToken) -> Self {
        Self { clock, shutdown, counted: Arc::default() }
    }

    /// Counts a request that was refused.
    pub(super) fn count(&self, address: Option<IpAddr>, with_token: bool, store: &Store) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = counted.seen.is_none();
        let seen = counted.seen.get_or_insert_default();
        seen.requests += 1;
        seen.with_token += u64::from(with_token);
        seen.first = seen.first.or(address);
        if seen.addresses.len() < MAX_ADDRESSES {
            seen.addresses.extend(address);
        }
        if is_first {
            let wait = if counted.busy { SUMMED_FOR } else { SUMMED_FIRST };
            counted.busy = true;
            tokio::spawn(self.clone().tell(wait, store.clone()));
        }
    }

    async fn tell(self, wait: Duration, store: Store) {
        let stopped = self.shutdown.run_until_cancelled(self.clock.sleep(wait)).await.is_none();
        let Some(seen) = self.take() else { return };
        let addresses = seen.addresses.len();
        let first_address = seen.first.map(|address| address.to_string()).unwrap_or_default();
        tracing::warn!(
            with_token = seen.with_token,
            first_address,
            "{} requests without a valid token, from {addresses} addresses",
            seen.requests
        );
        if seen.with_token > 0 {
            let addresses = addresses as u64;
            let refused = RefusedCallers { requests: seen.with_token, addresses, first_address };
            if let Err(error) = store.record_refused(refused).await {
                tracing::debug!(%error, "refused callers are not in the audit log");
            }
        }
        if stopped {
            return;
        }
        self.clock.sleep(SUMMED_FOR).await;
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.busy = counted.seen.is_some();
    }

    fn take(&self) -> Option<Seen> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).seen.take()
    }
}
