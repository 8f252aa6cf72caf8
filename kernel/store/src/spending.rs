//! What models have cost, in tokens: by session, and by day in UTC.

use jiff::Timestamp;
use redb::{ReadableTable, TableDefinition};

use super::handle::Store;
use super::kept::Kept;
use super::model::Usage;
use super::rows::{Failure, Result};
use super::sessions::SessionRow;
use super::tx::Tx;

/// By day since the Unix epoch: tokens read, and tokens written.
const SPENT: TableDefinition<'static, i64, (u64, u64)> = TableDefinition::new("spent");

const DAY_SECS: i64 = 24 * 60 * 60;

pub(super) const TABLES: &[&dyn Kept] = &[&SPENT];

impl Store {
    /// What all sessions together have cost since midnight, UTC.
    pub fn spent_today(&self) -> Result<Usage> {
        let today = day(self.shared.clock.now());
        let spent = self.read(|snapshot| Ok(snapshot.open(SPENT)?.get(today)?.map(|spent| spent.value())))?;
        let (input, output) = spent.unwrap_or_default();
        Ok(Usage { input, output })
    }
}

/// Adds to what a session and the day have cost; the caller saves the row.
pub(super) fn count(tx: &Tx<'_>, session: &mut SessionRow, usage: Usage) -> Result<(), Failure> {
    if usage == Usage::default() {
        return Ok(());
    }
    session.session.token_usage = session.session.token_usage.plus(usage);
    let today = day(tx.now());
    let mut days = tx.change(SPENT)?;
    let (input, output) = days.get(today)?.map(|spent| spent.value()).unwrap_or_default();
    let spent = Usage { input, output }.plus(usage);
    days.insert(today, (spent.input, spent.output))?;
    Ok(())
}

fn day(moment: Timestamp) -> i64 {
    moment.as_second().div_euclid(DAY_SECS)
}
