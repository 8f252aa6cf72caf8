//! The series behind the charts: what happened in each minute and in each hour, as whoever counts it hands it over.

use serde::{Deserialize, Serialize};

use super::handle::Store;
use super::kept::Kept;
use super::rows::{MAX_PAGE, Result, Rows};
use prx_base::meter::Point;

/// By the length of the step, and the number of the step since the Unix epoch.
const STATS: Rows<(u64, u64), StatsPoint> = Rows::new("stats");

pub(super) const TABLES: &[&dyn Kept] = &[&STATS];

/// What happened in one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsPoint {
    /// How long the step is, in seconds.
    pub step_secs: u64,
    /// Which one it is, of those of this length since the Unix epoch.
    pub number: u64,
    /// What happened.
    pub point: Point,
}

impl Store {
    /// Keeps what happened in these steps, in place of what was kept of them, and forgets the steps of each length that came
    /// before the one of a number.
    pub async fn keep_stats(&self, points: Vec<StatsPoint>, forgotten: Vec<(u64, u64)>) -> Result<()> {
        self.write(move |tx| {
            for point in &points {
                tx.put(&STATS, (point.step_secs, point.number), point)?;
            }
            forgotten.iter().try_for_each(|(step, before)| tx.clear(&STATS, (*step, 0)..(*step, *before)))
        })
        .await
    }

    /// What is kept of steps of this length behind the one of a number, at most [`MAX_PAGE`] of them.
    pub fn stats_after(&self, step_secs: u64, number: u64) -> Result<Vec<StatsPoint>> {
        let from = (step_secs, number.saturating_add(1));
        self.read(|snapshot| snapshot.page(&STATS, from..=(step_secs, u64::MAX), MAX_PAGE))
    }
}
