//! Slots of processor time. A call that computes for longer than a moment takes one, and gives it back when it waits: so no
//! more of them compute at a time than there are slots, however many there are, and the rest of the gateway goes on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The slots of one plugin, or of the machine.
#[derive(Debug)]
pub(super) struct CpuSlots {
    most: usize,
    /// How many are taken. Written with the lock held.
    taken: AtomicUsize,
    calls: AtomicU64,
    /// Held to look and to change, never across an await.
    line: Mutex<Line>,
}

/// The calls that wait for a slot.
#[derive(Debug, Default)]
struct Line {
    /// Those that have not computed yet.
    new: VecDeque<oneshot::Sender<CpuSlot>>,
    /// Those that have, by their place: the one that began first is done first.
    begun: BTreeMap<u64, oneshot::Sender<CpuSlot>>,
    /// The next slot is for one that has begun: neither kind keeps the other waiting.
    begun_next: bool,
}

/// The right to compute on a processor. Whoever waits gets it when it is dropped.
#[derive(Debug)]
pub(super) struct CpuSlot(Option<Arc<CpuSlots>>);

impl CpuSlots {
    pub(super) fn new(most: usize) -> Arc<Self> {
        let (taken, calls) = (AtomicUsize::new(0), AtomicU64::new(0));
        Arc::new(Self { most, taken, calls, line: Mutex::default() })
    }

    /// Whether whoever asks now has to wait.
    pub(super) fn all_taken(&self) -> bool {
        self.taken.load(Relaxed) >= self.most
    }

    /// A place among the calls that compute.
    pub(super) fn place(&self) -> u64 {
        self.calls.fetch_add(1, Relaxed)
    }

    /// Whether someone waits who goes before a call at this place.
    pub(super) fn waits_before(&self, place: u64) -> bool {
        let line = self.line();
        !line.new.is_empty() || line.begun.first_key_value().is_some_and(|(first, _)| *first < place)
    }

    /// A slot for a call at this place, or for one that has not computed yet.
    pub(super) async fn take(self: &Arc<Self>, place: Option<u64>) -> CpuSlot {
        loop {
            let slot = {
                let mut line = self.line();
                if self.taken.load(Relaxed) < self.most {
                    self.taken.fetch_add(1, Relaxed);
                    return CpuSlot(Some(Arc::clone(self)));
                }
                let (give, slot) = oneshot::channel();
                match place {
                    Some(place) => drop(line.begun.insert(place, give)),
                    None => line.new.push_back(give),
                }
                slot
            };
            // Always a slot: who is in line stays there until it is given one.
            if let Ok(slot) = slot.await {
                return slot;
            }
        }
    }

    /// Gives a slot that was dropped to the next in line, who may go away in the same moment.
    fn pass_on(self: &Arc<Self>) {
        loop {
            let next = {
                let mut line = self.line();
                let Some(next) = line.next() else {
                    self.taken.fetch_sub(1, Relaxed);
                    return;
                };
                next
            };
            match next.send(CpuSlot(Some(Arc::clone(self)))) {
                Ok(()) => return,
                Err(mut unwanted) => drop(unwanted.0.take()),
            }
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn next(&mut self) -> Option<oneshot::Sender<CpuSlot>> {
        while self.new.pop_front_if(|next| next.is_closed()).is_some() {}
        while let Some(entry) = self.begun.first_entry().filter(|entry| entry.get().is_closed()) {
            entry.remove();
        }
        let begun_first = self.begun_next || self.new.is_empty();
        self.begun_next = !begun_first;
        if begun_first && let Some((_, next)) = self.begun.pop_first() {
            return Some(next);
        }
        self.new.pop_front()
    }
}

impl Drop for CpuSlot {
    fn drop(&mut self) {
        if let Some(slots) = self.0.take() {
            slots.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn new_ones_and_old_ones_take_turns_and_who_is_gone_is_left_out() {
        let slots = CpuSlots::new(1);
        let held = slots.take(None).await;
        assert!(slots.all_taken() && !slots.waits_before(u64::MAX));
        let order = Mutex::new(Vec::new());
        let wait = async |what: &'static str, place| {
            let _turn = slots.take(place).await;
            order.lock().unwrap().push(what);
        };
        {
            let gone = slots.take(None);
            tokio::select! { biased; _ = gone => panic!("none is free"), () = tokio::task::yield_now() => {} }
        }
        assert!(slots.waits_before(0), "one has asked");
        let freed = async { drop(held) };
        tokio::join!(
            wait("second", Some(9)),
            wait("first", Some(4)),
            wait("new", None),
            wait("newer", None),
            freed
        );
        assert_eq!(*order.lock().unwrap(), ["new", "first", "newer", "second"]);
        assert!(!slots.all_taken(), "all are given back");
    }
}
