//! The series behind the charts of `GET /stats`: what happened in each minute of a day, and in each hour of a month. It is
//! what the [`Meter`](prx_base::meter::Meter) and the bus have counted between two looks at them, so turns know nothing of
//! it; once a minute in which anything happened it is brought to disk.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tracing::{debug, warn};

use prx_base::Base;
use prx_base::error::Result;
use prx_base::events::Kind;
use prx_base::meter::{Point, TurnEnd};
use prx_store::{StatsPoint, Store};

/// How long a step of the series is, and how many of them are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A minute; a day of them.
    Minute,
    /// An hour; a month of 31 days of them.
    Hour,
}

impl Step {
    const ALL: [Self; 2] = [Self::Minute, Self::Hour];

    /// How long it is.
    pub(crate) const fn secs(self) -> u64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
        }
    }

    const fn kept(self) -> u64 {
        match self {
            Self::Minute => 24 * 60,
            Self::Hour => 31 * 24,
        }
    }

    /// The number of the step that a moment is in, since the Unix epoch.
    pub(crate) fn number(self, moment: Timestamp) -> u64 {
        u64::try_from(moment.as_second()).unwrap_or_default() / self.secs()
    }
}

/// A cheap-clone handle to the series.
#[derive(Clone)]
pub(crate) struct Stats {
    base: Base,
    store: Store,
    /// Held to add up, never across a wait.
    series: Arc<Mutex<Series>>,
}

#[derive(Default)]
struct Series {
    minutes: BTreeMap<u64, Point>,
    hours: BTreeMap<u64, Point>,
    /// What was counted when the minute under way began.
    counted: Point,
    /// The minute under way.
    minute: u64,
    /// Steps that are on disk otherwise than here.
    unsaved: Vec<(Step, u64)>,
}

impl Stats {
    /// The series as it was kept, and goes on from now on.
    pub(crate) fn new(base: Base, store: Store) -> Self {
        let mut series = Series { minute: Step::Minute.number(base.clock.now()), ..Series::default() };
        for step in Step::ALL {
            if let Err(error) = series.read(step, &store) {
                warn!(%error, "what the series of charts had before this start can't be read");
            }
        }
        Self { base, store, series: Arc::new(Mutex::new(series)) }
    }

    /// Adds up and keeps, a minute after the other, for as long as the gateway runs.
    pub(crate) async fn run(self) {
        loop {
            let second = self.base.clock.now().as_second().rem_euclid(60).unsigned_abs();
            self.base.clock.sleep(Duration::from_secs(60 - second)).await;
            self.keep().await;
        }
    }

    /// Brings what happened so far to disk.
    pub(crate) async fn keep(&self) {
        let now = self.base.clock.now();
        let (steps, points) = {
            let mut series = self.lock();
            series.take_in(self.count(), now);
            let steps = mem::take(&mut series.unsaved);
            let points: Vec<_> =
                steps.iter().filter_map(|&(step, number)| series.kept(step, number)).collect();
            (steps, points)
        };
        if points.is_empty() {
            return;
        }
        let forgotten = Step::ALL.map(|step| (step.secs(), oldest(step, now)));
        if let Err(error) = self.store.keep_stats(points, forgotten.to_vec()).await {
            debug!(%error, "the series of charts is kept later");
            let mut series = self.lock();
            steps.into_iter().for_each(|(step, number)| series.note_unsaved(step, number));
        }
    }

    /// What happened in each step, with the number of the step: from the first one in which anything did, and from `since`
    /// on, up to the one under way. None, where nothing has happened yet.
    pub(crate) fn points(&self, step: Step, since: Option<Timestamp>) -> Vec<(u64, Point)> {
        let now = self.base.clock.now();
        let mut series = self.lock();
        series.take_in(self.count(), now);
        let (of_step, last) = (series.of(step), step.number(now));
        // The first one that begins then, or later.
        let before = |since: Timestamp| since.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(since);
        let since = since.map_or(0, |since| step.number(before(since)) + 1);
        let kept = of_step.range(oldest(step, now)..=last);
        let Some((first, _)) = kept.clone().find(|(_, point)| !point.is_empty()) else { return Vec::new() };
        let from = *first.max(&since);
        (from..=last).map(|at| (at, of_step.get(&at).cloned().unwrap_or_default())).collect()
    }

    /// What was counted since the start of the process.
    fn count(&self) -> Point {
        let Base { events, meter, .. } = &self.base;
        let events = events.counted();
        let published = |kind| events.get(&Some(kind)).copied().unwrap_or_default();
        let turns: Vec<_> = meter.turns().into_values().flatten().collect();
        let failed = turns.iter().filter(|(end, _)| *end == TurnEnd::Failed);
        let mut counted = Point {
            messages_received: published(Kind::MessageReceived),
            messages_sent: published(Kind::MessageSent),
            turns: turns.iter().map(|(_, count)| count).sum(),
            turns_failed: failed.map(|(_, count)| count).sum(),
            latency: meter.turn_times(),
            ..Point::default()
        };
        for calls in meter.providers().values() {
            let (input, output) = calls.tokens();
            counted.input_tokens += input;
            counted.output_tokens += output;
        }
        counted
    }

    fn lock(&self) -> MutexGuard<'_, Series> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of the first step that is kept.
fn oldest(step: Step, now: Timestamp) -> u64 {
    (step.number(now) + 1).saturating_sub(step.kept())
}

impl Series {
    fn read(&mut self, step: Step, store: &Store) -> Result<()> {
        let mut after = 0;
        loop {
            let page = store.stats_after(step.secs(), after)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.number;
            self.of(step).extend(page.into_iter().map(|kept| (kept.number, kept.point)));
        }
    }

    fn of(&mut self, step: Step) -> &mut BTreeMap<u64, Point> {
        match step {
            Step::Minute => &mut self.minutes,
            Step::Hour => &mut self.hours,
        }
    }

    /// Adds what was counted since the last time to the minute that was under way, and goes on with the one that is now.
    fn take_in(&mut self, counted: Point, now: Timestamp) {
        let new = counted.since(&self.counted);
        self.counted = counted;
        if !new.is_empty() {
            for step in Step::ALL {
                let number = self.minute * Step::Minute.secs() / step.secs();
                self.of(step).entry(number).or_default().add(&new);
                self.note_unsaved(step, number);
            }
        }
        self.minute = Step::Minute.number(now);
        for step in Step::ALL {
            let (first, last) = (oldest(step, now), step.number(now));
            let points = self.of(step);
            // A clock that is wrong for a moment costs nothing: only where there are too many, some are let go.
            if points.len() as u64 > step.kept() {
                points.retain(|number, _| (first..=last).contains(number));
            }
        }
    }

    fn note_unsaved(&mut self, step: Step, number: u64) {
        if !self.unsaved.contains(&(step, number)) {
            self.unsaved.push((step, number));
        }
    }

    /// A step as it is brought to disk.
    fn kept(&mut self, step: Step, number: u64) -> Option<StatsPoint> {
        let point = self.of(step).get(&number)?.clone();
        Some(StatsPoint { step_secs: step.secs(), number, point })
    }
}

#[cfg(test)]
mod tests {
    use prx_base::clock::Clock;
    use prx_base::config::{Config, Live};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    struct Home {
        dir: tempfile::TempDir,
        clock: Clock,
    }

    impl Home {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a folder");
            // Half past ten, and ten seconds.
            let clock = Clock::manual("2026-03-21T10:30:10Z".parse().expect("a moment"));
            Self { dir, clock }
        }

        fn open(&self) -> (Store, Stats) {
            let store = Store::open(self.dir.path(), self.clock.clone()).expect("a store");
            let config = Live::new(Config::default());
            let base = Base::new(self.clock.clone(), config, store.events().clone());
            let stats = Stats::new(base, store.clone());
            (store, stats)
        }
    }

    fn turn(stats: &Stats, ms: u64, tokens: u64) {
        let meter = &stats.base.meter;
        meter.turn_ended("default", TurnEnd::Completed, Some(Duration::from_millis(ms)));
        meter.provider("local").spent(tokens, 1);
    }

    fn shown(stats: &Stats, step: Step) -> Vec<(u64, u64)> {
        stats.points(step, None).into_iter().map(|(_, point)| (point.turns, point.input_tokens)).collect()
    }

    #[tokio::test]
    async fn what_happens_is_added_to_its_minute_and_its_hour_and_outlives_the_process() {
        let home = Home::new();
        let (store, stats) = home.open();
        assert_eq!(shown(&stats, Step::Minute), []);
        turn(&stats, 10, 5);
        assert_eq!(shown(&stats, Step::Minute), [(1, 5)], "also of the minute under way");
        stats.keep().await;
        turn(&stats, 20, 7);
        stats.keep().await;
        home.clock.advance(2 * MINUTE);
        stats.keep().await;
        turn(&stats, 40, 1);
        assert_eq!(shown(&stats, Step::Minute), [(2, 12), (0, 0), (1, 1)]);
        home.clock.advance(30 * MINUTE);
        assert_eq!(shown(&stats, Step::Hour), [(3, 13), (0, 0)]);
        stats.keep().await;
        store.close().await;

        let (store, stats) = home.open();
        turn(&stats, 80, 2);
        assert_eq!(shown(&stats, Step::Hour), [(3, 13), (1, 2)]);
        let hours = stats.points(Step::Hour, Some("2026-03-21T11:00:00Z".parse().unwrap()));
        assert_eq!(hours.len(), 1);
        assert_eq!(hours[0].0 * 3_600, 1_774_090_800);
        assert_eq!(stats.points(Step::Hour, Some("2026-03-21T10:00:01Z".parse().unwrap())), hours);
        assert_eq!(stats.points(Step::Hour, Some("2026-03-21T11:00:01Z".parse().unwrap())), []);
        let first = &stats.points(Step::Hour, None)[0].1;
        assert_eq!(first.latency.count(), 3, "merged from its minutes");
        assert!(first.latency.percentile(0.99).is_some_and(|p99| p99 > Duration::from_millis(30)));
        store.close().await;
    }

    #[tokio::test]
    async fn no_more_than_a_day_and_a_month_are_kept_whatever_the_clock_does() {
        let home = Home::new();
        let (store, stats) = home.open();
        for _ in 0..1_500 {
            turn(&stats, 1, 1);
            home.clock.advance(MINUTE);
            let counted = stats.count();
            stats.lock().take_in(counted, home.clock.now());
        }
        stats.keep().await;
        assert_eq!(stats.points(Step::Minute, None).len(), 24 * 60);
        assert_eq!(stats.points(Step::Hour, None).iter().map(|(_, point)| point.turns).sum::<u64>(), 1_500);
        let kept = stats.lock().minutes.len();
        assert!(kept <= 24 * 60 + 1, "{kept}");
        // For half a year nothing happens; then there is one minute, and nothing before it.
        home.clock.advance(180 * DAY);
        stats.keep().await;
        turn(&stats, 1, 1);
        assert_eq!((shown(&stats, Step::Minute), shown(&stats, Step::Hour)), (vec![(1, 1)], vec![(1, 1)]));
        stats.keep().await;
        store.close().await;
        let (store, stats) = home.open();
        assert_eq!(stats.lock().minutes.len(), 1, "what is too old is gone from the disk");
        store.close().await;
    }

    #[tokio::test]
    async fn a_quiet_gateway_writes_nothing() {
        let home = Home::new();
        let (store, stats) = home.open();
        let running = tokio::spawn(stats.clone().run());
        let before = store.commits();
        for _ in 0..10 {
            home.clock.advance(MINUTE);
            tokio::task::yield_now().await;
        }
        assert_eq!(store.commits(), before);
        turn(&stats, 1, 1);
        while store.commits() == before {
            home.clock.advance(MINUTE);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        running.abort();
        store.close().await;
    }
}
