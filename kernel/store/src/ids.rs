//! Ids: `<prefix>_<ulid in lower case>`, each larger than the one before.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;
use ulid::{Generator, Ulid};

/// Where ids come from.
pub(super) struct Ids(Mutex<Newest>);

struct Newest {
    generator: Generator,
    ms: u64,
}

impl Ids {
    /// Ids that are larger than every one made up to the millisecond `newest_ms`, whatever the clock says.
    pub(super) fn after(newest_ms: u64) -> Self {
        let ids = Self(Mutex::new(Newest { generator: Generator::new(), ms: 0 }));
        ids.ulid(newest_ms + 1);
        ids
    }

    /// The next id for something that happens now.
    pub(super) fn next(&self, prefix: &str, now: Timestamp) -> String {
        with_prefix(prefix, self.ulid(u64::try_from(now.as_millisecond()).unwrap_or(0)))
    }

    /// The millisecond in the newest id.
    pub(super) fn newest_ms(&self) -> u64 {
        lock(&self.0).ms
    }

    fn ulid(&self, ms: u64) -> Ulid {
        let newest = &mut *lock(&self.0);
        let ulid = newest
            .generator
            .generate_from_datetime(UNIX_EPOCH + Duration::from_millis(ms))
            .unwrap_or_else(|overflow| overflow.commit_overflow_random());
        newest.ms = ulid.timestamp_ms();
        ulid
    }
}

/// Takes a lock, also one whose holder has panicked.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The id of this ULID.
pub(super) fn with_prefix(prefix: &str, ulid: Ulid) -> String {
    let mut id = format!("{prefix}_{ulid}");
    id.make_ascii_lowercase();
    id
}

/// The ULID in an id; nil for a text that is none of ours.
pub(super) fn ulid(id: &str) -> Ulid {
    let (_, text) = id.rsplit_once('_').unwrap_or_default();
    Ulid::from_string(text).unwrap_or(Ulid::nil())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_within_a_millisecond_and_when_the_clock_goes_back() {
        let ids = Ids::after(0);
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let moments = [5_000, 5_000, 5_000, 4_000, 1, 5_001, 5_000];
        let made: Vec<String> = moments.into_iter().map(|ms| ids.next("msg", at(ms))).collect();
        assert!(made.is_sorted_by(|a, b| a < b), "{made:?}");
        assert!(made.iter().all(|id| id.starts_with("msg_") && id.len() == 30 && *id == id.to_lowercase()));
        assert_eq!(ids.newest_ms(), 5_001);
    }

    #[test]
    fn ids_go_on_after_those_of_an_earlier_run() {
        let before = Ids::after(0);
        let last = before.next("out", Timestamp::from_millisecond(9_000).unwrap());
        let after = Ids::after(before.newest_ms());
        assert!(after.next("out", Timestamp::from_millisecond(10).unwrap()) > last);
    }

    #[test]
    fn an_id_and_its_ulid_are_one() {
        let id = Ids::after(0).next("sess", Timestamp::from_millisecond(1_700_000_000_000).unwrap());
        assert_eq!(with_prefix("sess", ulid(&id)), id);
        assert_eq!(ulid("nonsense"), Ulid::nil());
    }
}
