//! The one time seam: what is the time, and wake me later.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

/// A cheap-clone handle to a source of time.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(Arc<watch::Sender<Timestamp>>),
}

/// A wait that many may begin at the same moment: `times` as long as said, by chance, lest they all end together.
pub fn vary(wait: Duration, times: RangeInclusive<f64>) -> Duration {
    let chance = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
    wait.mul_f64(times.start() + (times.end() - times.start()) * chance)
}

impl Clock {
    /// The machine's own time.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A time that stands still until [`Clock::advance`] moves it.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(watch::Sender::new(start))))
    }

    /// The present moment, in UTC.
    #[expect(clippy::disallowed_methods, reason = "this is the time seam")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp::now(),
            Source::Manual(time) => *time.borrow(),
        }
    }

    /// The present moment in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.now().as_millisecond()).unwrap_or(0)
    }

    /// Ends when `duration` has passed on this clock.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Source::System => tokio::time::sleep(duration).await,
            Source::Manual(time) => {
                let mut time = time.subscribe();
                let until = *time.borrow() + duration;
                // The sender lives in `self`, so waiting can only end by reaching `until`.
                let _ = time.wait_for(|now| *now >= until).await;
            }
        }
    }

    /// Moves a manual clock forward and wakes every sleeper whose time has come. The system clock stays as it is.
    pub fn advance(&self, duration: Duration) {
        if let Source::Manual(time) = &self.0 {
            time.send_modify(|now| *now += duration);
        }
    }
}

/// A monotonic reading, for measuring how long something took. Not for deciding when something is due.
#[expect(clippy::disallowed_methods, reason = "this is the time seam")]
pub fn stopwatch() -> Instant {
    Instant::now()
}

/// A moment as the API writes it: RFC 3339 in UTC, to the millisecond where there is one.
pub fn rfc3339(time: Timestamp) -> String {
    let precision = if time.subsec_nanosecond() == 0 { 0 } else { 3 };
    format!("{time:.precision$}")
}
