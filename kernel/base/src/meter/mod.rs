//! What the gateway does, counted and timed: for `GET /metrics`, and for the charts of `GET /stats`. Noting something costs
//! some additions and never waits for anybody. Everything begins anew with the process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use self::histogram::{BOUNDS_US, Distribution, Histogram};
pub use self::point::Point;

mod histogram;
mod point;

/// Names of one kind that are counted apart. They are the operator's; what comes after so many is [`OTHER`].
const MAX_NAMES: usize = 200;
/// Stands for the names that are not counted apart.
pub const OTHER: &str = "other";

/// A cheap-clone handle to the counts.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    turns: Names<Turns>,
    turn_times: Histogram,
    providers: Names<ModelCalls>,
    tools: Names<ToolCalls>,
    filters: Names<Verdicts>,
}

/// Turns of one agent, by how they ended.
#[derive(Debug, Default)]
struct Turns([AtomicU64; TurnEnd::ALL.len()]);

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnEnd {
    /// With a reply.
    Completed,
    /// With what was said until somebody stopped it, or said something newer.
    Stopped,
    /// It was put aside.
    Failed,
    /// With its session.
    Ended,
}

impl TurnEnd {
    /// Every way there is.
    pub const ALL: [Self; 4] = [Self::Completed, Self::Stopped, Self::Failed, Self::Ended];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Ended => "ended",
        }
    }
}

/// What a filter has made of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on as it was.
    Passed,
    /// It goes on as something else.
    Replaced,
    /// It goes no further.
    Stopped,
    /// Nothing: the filter did not do its work.
    Failed,
}

impl Verdict {
    /// Every verdict there is.
    pub const ALL: [Self; 4] = [Self::Passed, Self::Replaced, Self::Stopped, Self::Failed];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Replaced => "replaced",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// What one filter has made of what it was shown.
#[derive(Debug, Default)]
struct Verdicts([AtomicU64; Verdict::ALL.len()]);

/// What models of one provider were asked, an attempt each.
#[derive(Debug, Default)]
pub struct ModelCalls {
    /// Attempts that were answered.
    pub answered: AtomicU64,
    /// Attempts that were not.
    pub failed: AtomicU64,
    /// Tokens that were read.
    input_tokens: AtomicU64,
    /// Tokens that were written.
    output_tokens: AtomicU64,
    /// How long the attempts took.
    pub times: Histogram,
}

impl ModelCalls {
    /// Notes an attempt.
    pub fn ended(&self, took: Duration, is_answered: bool) {
        let count = if is_answered { &self.answered } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        self.times.observe(took);
    }

    /// Tokens that were read, and that were written.
    pub fn tokens(&self) -> (u64, u64) {
        (self.input_tokens.load(Ordering::Relaxed), self.output_tokens.load(Ordering::Relaxed))
    }

    /// Notes what was spent.
    pub fn spent(&self, input: u64, output: u64) {
        self.input_tokens.fetch_add(input, Ordering::Relaxed);
        self.output_tokens.fetch_add(output, Ordering::Relaxed);
    }
}

/// Calls of the tools of one plugin, or of one MCP server.
#[derive(Debug, Default)]
pub struct ToolCalls {
    /// Those that did what they were to.
    pub done: AtomicU64,
    /// Those that did not.
    pub failed: AtomicU64,
    /// How long they took.
    pub times: Histogram,
}

impl ToolCalls {
    /// Notes a call.
    pub fn ended(&self, took: Duration, is_error: bool) {
        let count = if is_error { &self.failed } else { &self.done };
        count.fetch_add(1, Ordering::Relaxed);
        self.times.observe(took);
    }
}

impl Meter {
    /// Notes the end of a turn of an agent. `took`: from the arrival of its message until its last reply was on disk; none
    /// where there is no reply.
    pub fn turn_ended(&self, agent: &str, end: TurnEnd, took: Option<Duration>) {
        self.0.turns.of(agent).0[end as usize].fetch_add(1, Ordering::Relaxed);
        if let Some(took) = took {
            self.0.turn_times.observe(took);
        }
    }

    /// How many turns of each agent ended in which way.
    pub fn turns(&self) -> BTreeMap<String, [(TurnEnd, u64); TurnEnd::ALL.len()]> {
        let of_agent =
            |turns: &Turns| TurnEnd::ALL.map(|end| (end, turns.0[end as usize].load(Ordering::Relaxed)));
        self.0.turns.all().into_iter().map(|(agent, turns)| (agent, of_agent(&turns))).collect()
    }

    /// How long turns took that ended with a reply.
    pub fn turn_times(&self) -> Distribution {
        self.0.turn_times.distribution()
    }

    /// Where calls of a provider's models are counted.
    pub fn provider(&self, name: &str) -> Arc<ModelCalls> {
        self.0.providers.of(name)
    }

    /// The providers that were asked.
    pub fn providers(&self) -> BTreeMap<String, Arc<ModelCalls>> {
        self.0.providers.all()
    }

    /// Where calls of the tools of a plugin or an MCP server are counted.
    pub fn tools_of(&self, source: &str) -> Arc<ToolCalls> {
        self.0.tools.of(source)
    }

    /// The plugins and MCP servers whose tools were called.
    pub fn tools(&self) -> BTreeMap<String, Arc<ToolCalls>> {
        self.0.tools.all()
    }

    /// Notes what a filter has made of something.
    pub fn filtered(&self, filter: &str, verdict: Verdict) {
        self.0.filters.of(filter).0[verdict as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often each filter has come to which verdict.
    pub fn filters(&self) -> BTreeMap<String, [(Verdict, u64); Verdict::ALL.len()]> {
        let of_filter =
            |all: &Verdicts| Verdict::ALL.map(|one| (one, all.0[one as usize].load(Ordering::Relaxed)));
        self.0.filters.all().into_iter().map(|(filter, all)| (filter, of_filter(&all))).collect()
    }
}

/// Counts by name.
#[derive(Debug, Default)]
struct Names<T>(Mutex<BTreeMap<String, Arc<T>>>);

impl<T: Default> Names<T> {
    fn of(&self, name: &str) -> Arc<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = all.get(name) {
            return Arc::clone(found);
        }
        let name = if all.len() < MAX_NAMES { name } else { OTHER };
        Arc::clone(all.entry(name.to_owned()).or_default())
    }

    fn all(&self) -> BTreeMap<String, Arc<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_end_are_counted_under_one() {
        let meter = Meter::default();
        for n in 0..1_000 {
            meter.tools_of(&format!("plugin:{n}")).ended(Duration::ZERO, n % 2 == 0);
        }
        let all = meter.tools();
        assert_eq!(all.len(), MAX_NAMES + 1);
        let calls = |tools: &ToolCalls| tools.times.distribution().count();
        assert_eq!(calls(&all[OTHER]), 800);
        assert_eq!(all.values().map(|tools| calls(tools)).sum::<u64>(), 1_000);
        meter.tools_of("plugin:7").ended(Duration::ZERO, false);
        assert_eq!(calls(&meter.tools()["plugin:7"]), 2, "who had a name keeps it");
    }
}
