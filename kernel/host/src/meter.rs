//! The computing of one call: how long it took so far, and its slots of processor time.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::task::yield_now;

use super::cpu_slots::CpuSlot;
use super::share::Share;
use prx_base::clock;

/// How often a call's computing time is granted once more, as long answers need.
const CPU_REFILL_INTERVAL: Duration = Duration::from_secs(30);

/// What a call does whose future is pending.
const WAITS: u8 = 0;
/// It would compute, and its own plugin's calls go before it.
const IN_OWN_LINE: u8 = 1;
/// It would compute, and others' calls go before it.
const IN_LINE: u8 = 2;

/// The computing of one call.
#[derive(Debug)]
pub(super) struct Meter {
    budget: Duration,
    origin: Instant,
    /// Nanoseconds of polls that are over.
    spent: AtomicU64,
    /// When the present poll began, in nanoseconds since `origin`.
    began: AtomicU64,
    /// When the call was last heard, in nanoseconds since `origin`.
    heard: AtomicU64,
    share: Arc<Share>,
    state: AtomicU8,
    /// Whether there is anything to give back; most calls never take a slot.
    has_slots: AtomicBool,
    /// The lock is held to put or take, never across an await.
    slots: Mutex<Held>,
}

/// The slots that a call holds: its plugin's, and the machine's.
#[derive(Debug, Default)]
struct Held {
    /// Its place among its plugin's calls, once it has computed for longer than a moment.
    place: Option<u64>,
    own: Option<CpuSlot>,
    machine: Option<CpuSlot>,
}

impl Meter {
    pub(super) fn new(budget: Duration, share: &Arc<Share>) -> Arc<Self> {
        Arc::new(Self {
            budget,
            origin: clock::stopwatch(),
            spent: AtomicU64::new(0),
            began: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            share: Arc::clone(share),
            state: AtomicU8::new(WAITS),
            has_slots: AtomicBool::new(false),
            slots: Mutex::default(),
        })
    }

    /// Whether the budget is used up. Asked by the guest's own thread, during a poll.
    pub(super) fn exhausted(&self) -> bool {
        let elapsed = self.elapsed();
        let running = elapsed.saturating_sub(self.began.load(Relaxed));
        let refilled = self.budget.mul_f64(elapsed as f64 / CPU_REFILL_INTERVAL.as_nanos() as f64);
        Duration::from_nanos(self.spent.load(Relaxed) + running) >= self.budget + refilled
    }

    /// The call has said something that it was asked for, before its end.
    pub(super) fn hear(&self) {
        self.heard.store(self.elapsed(), Relaxed);
    }

    /// When the call was last heard, after its beginning; zero: not yet.
    pub(super) fn heard(&self) -> Duration {
        Duration::from_nanos(self.heard.load(Relaxed))
    }

    /// How long the call is silent.
    pub(super) fn silence(&self) -> Duration {
        Duration::from_nanos(self.elapsed()).saturating_sub(self.heard())
    }

    /// Waits for a slot before the guest is run at all, where its plugin's calls compute already. Where they don't, a call
    /// needs none for its first moment, which is all that most calls take.
    pub(super) async fn begin(&self) {
        if self.share.slots.all_taken() {
            self.take_slots(None).await;
        }
    }

    /// Lets others go on, and returns when the guest may compute for another moment.
    pub(super) async fn next_moment(self: Arc<Self>) {
        self.state.store(IN_OWN_LINE, Relaxed);
        yield_now().await;
        let place = {
            let mut held = self.held();
            let place = *held.place.get_or_insert_with(|| self.share.slots.place());
            // The machine's goes round; its own plugin's goes to those who were there before.
            if self.share.machine.waits_before(u64::MAX) {
                held.machine = None;
            }
            if self.share.slots.waits_before(place) {
                (held.machine, held.own) = (None, None);
            }
            place
        };
        self.take_slots(Some(place)).await;
    }

    /// Takes the slots that the call does not hold.
    async fn take_slots(&self, place: Option<u64>) {
        self.state.store(IN_OWN_LINE, Relaxed);
        self.has_slots.store(true, Relaxed);
        if self.held().own.is_none() {
            let slot = self.share.slots.take(place).await;
            self.held().own = Some(slot);
        }
        self.state.store(IN_LINE, Relaxed);
        if self.held().machine.is_none() {
            let slot = self.share.machine.take(None).await;
            self.held().machine = Some(slot);
        }
        self.state.store(WAITS, Relaxed);
    }

    /// Whether the call would compute now if its own plugin's calls left it a slot.
    pub(super) fn is_in_own_line(&self) -> bool {
        self.state.load(Relaxed) == IN_OWN_LINE
    }

    /// The same work, with its computing time counted, and with the slots given back while it waits.
    pub(super) fn watch<F: Future>(self: Arc<Self>, work: Pin<&mut F>) -> Watched<'_, F> {
        Watched { meter: self, work }
    }

    fn give_slots_back(&self) {
        if !self.has_slots.swap(false, Relaxed) {
            return;
        }
        let mut held = self.held();
        // The machine's first: whoever gets the plugin's wants it too.
        (held.machine, held.own) = (None, None);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// See [`Meter::watch`].
pub(super) struct Watched<'a, F> {
    meter: Arc<Meter>,
    work: Pin<&'a mut F>,
}

impl<F: Future> Future for Watched<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let began = self.meter.elapsed();
        self.meter.began.store(began, Relaxed);
        let outcome = self.work.as_mut().poll(cx);
        let took = self.meter.elapsed().saturating_sub(began);
        self.meter.spent.fetch_add(took, Relaxed);
        if self.meter.state.load(Relaxed) == WAITS {
            self.meter.give_slots_back();
        }
        outcome
    }
}

impl<F> Drop for Watched<'_, F> {
    fn drop(&mut self) {
        self.meter.give_slots_back();
    }
}
