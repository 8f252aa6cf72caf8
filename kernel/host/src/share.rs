//! What one plugin may have of what all plugins share: places in the engine's pools, and slots of processor time.
//!
//! A plugin may have a third as much of the pools as is free: alone a quarter of them, and less the more others have. (Switches
//! share their buffers in this way; there it is called a dynamic threshold.) The last eighth is for plugins that hold nothing:
//! however many are greedy together, another one's call has a place.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;

use tokio::sync::Notify;
use wasmtime::component::Component;

use super::cpu_slots::CpuSlots;
use super::limits::{MAX_CORE_INSTANCES_EACH, MAX_MEMORIES_EACH, MAX_TABLES_EACH};
use super::links::LinkError;

/// Most instances at a time, over all plugins; of memories as many.
pub(super) const POOL_INSTANCES: u32 = 1000;

/// Core modules and tables for all of them. Few languages need as many; what isn't used costs nothing.
pub(super) const POOL_CORE_INSTANCES: u32 = POOL_INSTANCES * 16;
pub(super) const POOL_TABLES: u32 = POOL_INSTANCES * 8;

/// What the pools are divided into. A core instance takes one of them, anything scarcer takes more.
const PARTS: u32 = POOL_CORE_INSTANCES;

/// What a plugin has is at most as much of the pools as is free, divided by this.
const FREE_TO_OWN: u32 = 3;

/// Parts that only plugins take that hold none.
const FOR_FIRST: u32 = PARTS / 8;

/// Those of them that are left to what takes no place: connectors, and new code that is asked to describe itself.
const PLACELESS: u32 = PARTS / 32;

/// What one instance of a component takes of the pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Needs {
    memories: u32,
    tables: u32,
    core_instances: u32,
}

impl Needs {
    /// `core_instances`: at most so many instances of modules, as far as could be seen. One instance never has more
    /// than its limit.
    ///
    /// # Errors
    /// An instance takes more than it may.
    pub(super) fn of(component: &Component, core_instances: u64) -> Result<Self, LinkError> {
        let core = core_instances.min(MAX_CORE_INSTANCES_EACH as u64);
        let core_instances = u32::try_from(core).unwrap_or(u32::MAX);
        let Some(required) = component.resources_required() else {
            let (memories, tables) = (MAX_MEMORIES_EACH as u32, MAX_TABLES_EACH as u32);
            return Ok(Self { memories, tables, core_instances });
        };
        let (memories, tables) = (required.num_memories, required.num_tables);
        for (what, found, most) in
            [("memories", memories, MAX_MEMORIES_EACH), ("tables", tables, MAX_TABLES_EACH)]
        {
            if found as usize > most {
                return Err(LinkError::TooMany { what, found, most });
            }
        }
        Ok(Self { memories, tables, core_instances })
    }

    /// How much of the pools an instance takes: as much as of the one that it takes most of.
    fn parts(self) -> u32 {
        let each = |count: u32, pool: u32| (count * PARTS).div_ceil(pool);
        each(1, POOL_INSTANCES)
            .max(each(self.memories, POOL_INSTANCES))
            .max(each(self.tables, POOL_TABLES))
            .max(each(self.core_instances, POOL_CORE_INSTANCES))
    }

    /// How many instances of this kind a plugin may have at a time while no other has any.
    pub(super) fn most(self) -> u32 {
        PARTS / (FREE_TO_OWN + 1) / self.parts()
    }
}

/// What all plugins have of the pools together.
#[derive(Debug, Default)]
struct Pools {
    taken: AtomicU32,
    /// Those who wait for a place: the first of each plugin.
    waiting: AtomicUsize,
    /// Told of each place that is given back while someone waits.
    freed: Notify,
}

/// A place for one instance, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    parts: u32,
    share: Arc<Share>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Share { held, pools, .. } = &*self.share;
        held.fetch_sub(self.parts, SeqCst);
        pools.taken.fetch_sub(self.parts, SeqCst);
        if pools.waiting.load(SeqCst) > 0 {
            pools.freed.notify_waiters();
        }
    }
}

/// One plugin's share, over all of its generations.
#[derive(Debug)]
pub(super) struct Share {
    /// Its parts of the pools.
    held: AtomicU32,
    /// Held by the one call that is next to get a place; the others wait in order. Across an await, but for no call's work.
    line: tokio::sync::Mutex<()>,
    pools: Arc<Pools>,
    /// Its slots of processor time.
    pub(super) slots: Arc<CpuSlots>,
    /// Everyone's.
    pub(super) machine: Arc<CpuSlots>,
}

impl Share {
    /// On a machine with so many processors. A plugin computes on half of them, and on one at least.
    fn new(processors: usize, machine: Arc<CpuSlots>, pools: Arc<Pools>) -> Self {
        let slots = CpuSlots::new((processors / 2).max(1));
        Self { held: AtomicU32::new(0), line: tokio::sync::Mutex::default(), pools, slots, machine }
    }

    /// Waits until there is a place.
    pub(super) async fn place(self: &Arc<Self>, needs: Needs) -> Place {
        let _next = self.line.lock().await;
        if let Some(place) = self.take(needs) {
            return place;
        }
        let _waiting = Waiting::of(&self.pools);
        loop {
            let mut freed = pin!(self.pools.freed.notified());
            freed.as_mut().enable();
            if let Some(place) = self.take(needs) {
                return place;
            }
            freed.await;
        }
    }

    /// Whether it has no place at all.
    pub(super) fn is_unused(&self) -> bool {
        self.held.load(SeqCst) == 0
    }

    /// Whether there is a further place, and nobody waits for one.
    pub(super) fn has_room(&self, needs: Needs) -> bool {
        let parts = needs.parts();
        self.pools.waiting.load(SeqCst) == 0
            && may_take(parts, self.held.load(SeqCst), self.pools.taken.load(SeqCst))
    }

    /// A place, if there is one. Only whoever is next in the line takes one, so what the plugin holds does not grow meanwhile.
    fn take(self: &Arc<Self>, needs: Needs) -> Option<Place> {
        let parts = needs.parts();
        let held = self.held.load(SeqCst);
        let take = |taken| may_take(parts, held, taken).then_some(taken + parts);
        self.pools.taken.fetch_update(SeqCst, SeqCst, take).ok()?;
        self.held.fetch_add(parts, SeqCst);
        Some(Place { parts, share: Arc::clone(self) })
    }
}

/// Whether a plugin that holds so many parts, while all plugins have taken so many, may have more.
fn may_take(parts: u32, held: u32, taken: u32) -> bool {
    let free = PARTS.saturating_sub(taken + parts);
    match held {
        0 => free >= PLACELESS,
        _ => free >= FOR_FIRST && (held + parts) * FREE_TO_OWN <= free,
    }
}

/// One of those who wait for a place.
struct Waiting<'a>(&'a Pools);

impl<'a> Waiting<'a> {
    fn of(pools: &'a Pools) -> Self {
        pools.waiting.fetch_add(1, SeqCst);
        Self(pools)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}

/// The shares of all plugins that have code, by name.
#[derive(Debug)]
pub(super) struct Shares {
    processors: usize,
    machine: Arc<CpuSlots>,
    pools: Arc<Pools>,
    /// Held to look up, never across an await.
    by_plugin: Mutex<BTreeMap<String, Weak<Share>>>,
}

impl Shares {
    pub(super) fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let machine = CpuSlots::new(processors);
        Self { processors, machine, pools: Arc::default(), by_plugin: Mutex::default() }
    }

    /// The share of a plugin: the same for all code of it that is still running.
    pub(super) fn of(&self, plugin: &str) -> Arc<Share> {
        let mut shares = self.by_plugin.lock().unwrap_or_else(PoisonError::into_inner);
        shares.retain(|_, share| share.strong_count() > 0);
        if let Some(share) = shares.get(plugin).and_then(Weak::upgrade) {
            return share;
        }
        let share = Arc::new(Share::new(self.processors, Arc::clone(&self.machine), Arc::clone(&self.pools)));
        shares.insert(plugin.to_owned(), Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::task::unconstrained;

    use super::*;

    const ONE: Needs = Needs { memories: 1, tables: 1, core_instances: 1 };

    /// As many places as there are for a plugin.
    fn all(share: &Arc<Share>, needs: Needs) -> Vec<Place> {
        std::iter::from_fn(|| unconstrained(share.place(needs)).now_or_never()).collect()
    }

    #[test]
    fn a_share_is_a_quarter_of_the_pool_that_is_scarcest() {
        let most = |memories, tables, core_instances| {
            let needs = Needs { memories, tables, core_instances };
            assert_eq!(all(&Shares::new().of("alone"), needs).len(), needs.most() as usize);
            needs.most()
        };
        assert_eq!(most(1, 1, 1), 250);
        assert_eq!(most(1, 8, 16), 250);
        assert_eq!(most(4, 1, 1), 62);
        assert_eq!(most(1, 32, 1), 62);
        assert_eq!(most(1, 1, 64), 62);
        assert_eq!(most(0, 0, 0), 250);
    }

    #[test]
    fn however_many_are_greedy_together_another_has_a_place() {
        let shares = Shares::new();
        let mut held = Vec::new();
        for n in 0..60 {
            let (greedy, modest) = (shares.of(&format!("greedy-{n}")), shares.of("modest"));
            held.push((all(&greedy, ONE), greedy));
            let needs = Needs { memories: 4, ..ONE };
            assert!(modest.place(needs).now_or_never().is_some(), "beside {n} greedy ones");
        }
        let count = |(places, _): &(Vec<Place>, _)| places.len();
        assert_eq!(held.iter().take(6).map(count).collect::<Vec<_>>(), [250, 187, 140, 105, 79, 59]);
        assert_eq!(held.iter().map(count).min(), Some(1));
        // The first one gives back, and takes no more than the others may have.
        let (first, share) = &mut held[0];
        first.clear();
        first.extend(all(share, ONE));
        let again = first.len();
        let (last, share) = held.last_mut().expect("there are some");
        last.extend(all(share, ONE));
        assert!((30..90).contains(&again) && last.len() > 20, "{again}, {}", last.len());
        drop(held);
        assert_eq!(shares.pools.taken.load(SeqCst), 0);
    }

    #[tokio::test]
    async fn a_place_that_is_given_back_goes_to_whoever_waits_longest() {
        let shares = Shares::new();
        let share = shares.of("greedy");
        let mut held = all(&share, ONE);
        let (mut first, mut second) = (pin!(share.place(ONE)), pin!(share.place(ONE)));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        assert!(!share.has_room(ONE));
        drop(held.pop());
        assert!(!share.has_room(ONE), "others wait for it");
        assert!(second.as_mut().now_or_never().is_none());
        let place = first.await;
        assert!(second.as_mut().now_or_never().is_none());
        drop(place);
        drop(second.await);
        // Who gives up waiting keeps nobody from the place.
        let gives_up = Box::pin(share.place(ONE)).now_or_never();
        drop(gives_up);
        drop(held);
        assert!(share.has_room(ONE) && share.is_unused());
    }
}
