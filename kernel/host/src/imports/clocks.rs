//! `wasi:clocks`: the kernel's time, or the one that a call brought with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use prx_base::clock::{self, Clock};

/// What a guest that asks for the time is told.
#[derive(Debug, Clone)]
pub(crate) enum Time {
    /// The kernel's clock.
    Real { wall: Clock, since: Instant },
    /// Milliseconds since the Unix epoch, set with each call.
    Given(Arc<AtomicU64>),
}

impl Time {
    pub(crate) fn real(wall: Clock) -> Self {
        Self::Real { wall, since: clock::stopwatch() }
    }

    pub(crate) fn given() -> Self {
        Self::Given(Arc::default())
    }

    /// Moves a given time; the kernel's own runs by itself.
    pub(crate) fn set(&self, now_ms: u64) {
        if let Self::Given(now) = self {
            now.store(now_ms, Relaxed);
        }
    }
}

impl HostWallClock for Time {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(match self {
            Self::Real { wall, .. } => wall.now_ms(),
            Self::Given(now) => now.load(Relaxed),
        })
    }
}

impl HostMonotonicClock for Time {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        let elapsed = match self {
            Self::Real { since, .. } => since.elapsed(),
            Self::Given(now) => Duration::from_millis(now.load(Relaxed)),
        };
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }
}
