//! Other code for a channel that runs: put in its place between two events, kept when it works, taken back when not.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::{Instrument, error, info, warn};

use super::input::{Alarm, Input};
use super::pump::Pump;
use prx_base::clock;
use prx_host::Generation;
use prx_host::bindings::connector as wire;
use prx_store::StepCommit;

/// How long new code that has little to do is on probation.
const PROBATION: Duration = Duration::from_secs(60);
/// How long a reload waits for a channel to take the code over.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it then waits for an event that shows whether the code works.
const QUIET: Duration = Duration::from_secs(1);

/// What came of giving a channel other code, or several channels: then the longest pause, and the sums.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Swap {
    /// How long no event was handled.
    pub pause: Duration,
    /// Events that waited meanwhile.
    pub events_buffered: usize,
    /// Sockets and requests that the code before opened and the new code has.
    pub connections_kept: usize,
    /// Why the code before is back.
    pub rolled_back: Option<String>,
}

/// How a channel stands to the code that it was offered.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    /// The newest generation it was offered.
    offered: u64,
    /// Whether the code has shown whether it works, as far as a reload waits for that.
    tried: bool,
    /// What it came to, where it took the place of other code.
    swap: Swap,
}

impl Standing {
    /// A channel that has begun with this generation, or could not.
    pub(super) fn begun(generation: &Generation) -> Self {
        Self { offered: generation.number, tried: true, swap: Swap::default() }
    }
}

/// What came of giving a channel this generation. None: it has not taken it over in time, or is gone.
pub(super) async fn outcome(mut standing: watch::Receiver<Standing>, generation: u64) -> Option<Swap> {
    let offered = standing.wait_for(|standing| standing.offered >= generation);
    tokio::time::timeout(PATIENCE, offered).await.ok()?.ok()?;
    // Where nothing happens there is nothing to try it on.
    let _ = tokio::time::timeout(QUIET, standing.wait_for(|standing| standing.tried)).await;
    let standing = standing.borrow();
    Some(if standing.offered == generation { standing.swap.clone() } else { Swap::default() })
}

impl Swap {
    /// Both as one.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            pause: self.pause.max(other.pause),
            events_buffered: self.events_buffered + other.events_buffered,
            connections_kept: self.connections_kept + other.connections_kept,
            rolled_back: self.rolled_back.or(other.rolled_back),
        }
    }
}

impl Pump<'_> {
    /// Puts new code in place between two events; the connections and what is on its way stay.
    pub(super) async fn swap(
        &mut self,
        generation: Arc<Generation>,
        inputs: &mpsc::Receiver<Input>,
    ) -> ControlFlow<()> {
        if Arc::ptr_eq(&generation, &self.offered) {
            return ControlFlow::Continue(());
        }
        self.offered = generation.clone();
        if Arc::ptr_eq(&generation, &self.code.generation) {
            return ControlFlow::Continue(());
        }
        if self.code.before().is_some_and(|before| Arc::ptr_eq(&generation, before)) {
            return self.go_back("the plugin went back to the code before").await.map_continue(drop);
        }
        let (from, to) = (self.code.generation.clone(), generation.number);
        let pause = clock::stopwatch();
        let swapped = match self.code.setup.renew(&generation) {
            Ok(setup) => self.code.swap(generation.clone(), setup).await.map_err(|failure| {
                self.parts.plugins.report(&generation, Err(&failure));
                failure.to_string()
            }),
            Err(problem) => Err(format!("it does not fit the channel's configuration: {problem}")),
        };
        let mut swap = Swap { pause: pause.elapsed(), ..Swap::default() };
        if let Err(problem) = swapped {
            error!(from = from.number, to, problem, "new code could not take over; the code before goes on");
            self.told.standing.send_replace(Standing { offered: to, tried: false, swap });
            self.withdraw(generation, from, problem);
            return ControlFlow::Continue(());
        }
        swap.events_buffered = self.waiting() + inputs.len();
        swap.connections_kept = self.work.connections();
        info!(from = from.number, to, pause = ?swap.pause, "the connector's code was swapped");
        self.told.standing.send_replace(Standing { offered: to, tried: false, swap });
        self.work.timers.set(Alarm::Proven, PROBATION);
        self.listen_on();
        self.resume();
        ControlFlow::Continue(())
    }

    /// Notes that a step of the code is committed, and whether anything came of it outside.
    pub(super) fn stood(&mut self, batch: Vec<wire::Event>, outside: bool) {
        if self.code.handled(batch, outside).is_some_and(|handled| handled > 0) {
            let number = self.code.generation.number;
            self.told.standing.send_if_modified(|standing| {
                let tried = standing.offered == number && !standing.tried;
                standing.tried |= tried;
                tried
            });
        }
    }

    /// Lets the code before take over again, if there is a way back; whether it does.
    pub(super) async fn go_back(&mut self, reason: &str) -> ControlFlow<(), bool> {
        let failed = self.code.generation.clone();
        let again = match self.code.roll_back().await {
            Ok(Some(again)) => again,
            Ok(None) => return ControlFlow::Continue(false),
            Err(failure) => {
                warn!(%failure, "the code before can't read what the new code has written; the new code stays");
                return ControlFlow::Continue(false);
            }
        };
        let (from, to) = (failed.number, self.code.generation.number);
        error!(from, to, reason, "new code did not stand its probation; the code before took over again");
        let (channel, state) = (self.code.setup.name.clone(), Some(self.code.state().clone()));
        let commit = StepCommit { channel, state, ..StepCommit::default() };
        if let Err(error) = self.parts.store.commit_step(commit).await {
            return self.broken(&error).map_continue(|()| false);
        }
        self.requeue(again);
        self.listen_on();
        self.resume();
        self.withdraw(failed, self.code.generation.clone(), reason.to_owned());
        ControlFlow::Continue(true)
    }

    /// Takes code out of service everywhere. Only then is it told that it did not stand.
    fn withdraw(&self, failed: Arc<Generation>, before: Arc<Generation>, reason: String) {
        let (plugins, standing) = (self.parts.plugins.clone(), self.told.standing.clone());
        let withdrawing = async move {
            let number = failed.number;
            plugins.withdraw(failed, before, reason.clone()).await;
            standing.send_modify(|standing| {
                if standing.offered == number {
                    standing.tried = true;
                    standing.swap.rolled_back = Some(reason);
                }
            });
        };
        tokio::spawn(withdrawing.in_current_span());
    }
}
