//! Other code for a channel that runs: put in its place between two events, kept when it passes its probation, rolled
//! back when not.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{Instrument, error, info, warn};

use super::input::{Input, TimerKey};
use super::pump::Pump;
use super::swap_progress::{Swap, SwapProgress};
use prx_base::clock;
use prx_host::Generation;
use prx_host::bindings::connector as wire;
use prx_store::StepCommit;

/// How long new code that has little to do is on probation, in seconds.
const PROBATION: Duration = Duration::from_secs(60);

impl Pump<'_> {
    /// Puts new code in place between two events; the connections and what is pending stay.
    pub(super) async fn swap(
        &mut self,
        generation: Arc<Generation>,
        inputs: &mpsc::Receiver<Input>,
    ) -> ControlFlow<()> {
        if Arc::ptr_eq(&generation, &self.offered) {
            return ControlFlow::Continue(());
        }
        self.offered = generation.clone();
        if Arc::ptr_eq(&generation, &self.component.generation) {
            return ControlFlow::Continue(());
        }
        if self.component.previous().is_some_and(|previous| Arc::ptr_eq(&generation, previous)) {
            return self.roll_back("the plugin went back to the code before").await.map_continue(drop);
        }
        let (from, to) = (self.component.generation.clone(), generation.number);
        let pause = clock::stopwatch();
        let swapped = match self.component.setup.renew(&generation) {
            Ok(setup) => self.component.swap(generation.clone(), setup).await.map_err(|failure| {
                self.services.plugins.report(&generation, Err(&failure));
                failure.to_string()
            }),
            Err(problem) => Err(format!("it does not fit the channel's configuration: {problem}")),
        };
        let mut swap = Swap { pause: pause.elapsed(), ..Swap::default() };
        if let Err(problem) = swapped {
            error!(from = from.number, to, problem, "new code could not take over; the code before goes on");
            self.status.swap.send_replace(SwapProgress { offered: to, tried: false, swap });
            self.withdraw(generation, from, problem);
            return ControlFlow::Continue(());
        }
        swap.events_buffered = self.queue.len() + inputs.len();
        swap.connections_kept = self.work.connections();
        info!(from = from.number, to, pause = ?swap.pause, "the connector's code was swapped");
        self.status.swap.send_replace(SwapProgress { offered: to, tried: false, swap });
        self.work.timers.set(TimerKey::ProbationEnd, PROBATION);
        self.adjust_watchdog();
        self.resume();
        ControlFlow::Continue(())
    }

    /// Notes that a step of the code is committed, and whether anything came of it that the outside has noticed.
    pub(super) fn record_step(&mut self, batch: Vec<wire::Event>, visible: bool) {
        if self.component.record_handled(batch, visible).is_some_and(|handled| handled > 0) {
            let number = self.component.generation.number;
            self.status.swap.send_if_modified(|progress| {
                let tried = progress.offered == number && !progress.tried;
                progress.tried |= tried;
                tried
            });
        }
    }

    /// Lets the code before take over again, if there is a way back; whether it does.
    pub(super) async fn roll_back(&mut self, reason: &str) -> ControlFlow<(), bool> {
        let failed = self.component.generation.clone();
        let again = match self.component.roll_back().await {
            Ok(Some(again)) => again,
            Ok(None) => return ControlFlow::Continue(false),
            Err(failure) => {
                warn!(%failure, "the code before can't read what the new code has written; the new code stays");
                return ControlFlow::Continue(false);
            }
        };
        let (from, to) = (failed.number, self.component.generation.number);
        error!(from, to, reason, "new code did not stand its probation; the code before took over again");
        let (channel, state) = (self.component.setup.name.clone(), Some(self.component.state().clone()));
        let commit = StepCommit { channel, state, ..StepCommit::default() };
        if let Err(error) = self.services.store.commit_step(commit).await {
            return self.store_failed(&error);
        }
        self.requeue(again);
        self.adjust_watchdog();
        self.resume();
        self.withdraw(failed, self.component.generation.clone(), reason.to_owned());
        ControlFlow::Continue(true)
    }

    /// Takes code out of service everywhere. Only then is its swap reported as rolled back.
    fn withdraw(&self, failed: Arc<Generation>, previous: Arc<Generation>, reason: String) {
        let (plugins, progress) = (self.services.plugins.clone(), self.status.swap.clone());
        let withdrawing = async move {
            let number = failed.number;
            plugins.withdraw(failed, previous, reason.clone()).await;
            progress.send_modify(|progress| {
                if progress.offered == number {
                    progress.tried = true;
                    progress.swap.rolled_back = Some(reason);
                }
            });
        };
        tokio::spawn(withdrawing.in_current_span());
    }
}
