//! What one plugin may have of what all plugins share: places in the engine's pools, and slots of processor time.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::Component;

use super::cpu_slots::CpuSlots;
use super::limits::{MAX_CORE_INSTANCES_EACH, MAX_MEMORIES_EACH, MAX_TABLES_EACH};
use super::links::LinkError;

/// Most instances at a time, over all plugins; of memories as many.
pub(super) const POOL_INSTANCES: u32 = 1000;

/// Core modules and tables for all of them. Few languages need as many; what isn't used costs nothing.
pub(super) const POOL_CORE_INSTANCES: u32 = POOL_INSTANCES * 16;
pub(super) const POOL_TABLES: u32 = POOL_INSTANCES * 8;

/// One plugin gets a quarter of each pool.
const SHARE: u32 = 4;

/// What a share is divided into. A core instance takes one of them, anything scarcer takes more.
const PARTS: u32 = POOL_CORE_INSTANCES / SHARE;

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

    /// How much of a share an instance takes: as much as of the pool that it takes most of.
    fn parts(self) -> u32 {
        let each = |count: u32, pool: u32| (count * PARTS).div_ceil(pool / SHARE);
        each(1, POOL_INSTANCES)
            .max(each(self.memories, POOL_INSTANCES))
            .max(each(self.tables, POOL_TABLES))
            .max(each(self.core_instances, POOL_CORE_INSTANCES))
    }

    /// How many instances of this kind there may be at a time.
    pub(super) fn most(self) -> u32 {
        PARTS / self.parts()
    }
}

/// A place for one instance.
pub(super) type Place = OwnedSemaphorePermit;

/// One plugin's share, over all of its generations.
#[derive(Debug)]
pub(super) struct Share {
    parts: Arc<Semaphore>,
    /// Its slots of processor time.
    pub(super) slots: Arc<CpuSlots>,
    /// Everyone's.
    pub(super) machine: Arc<CpuSlots>,
}

impl Share {
    /// On a machine with so many processors. A plugin computes on half of them, and on one at least.
    fn new(processors: usize, machine: Arc<CpuSlots>) -> Self {
        let parts = Arc::new(Semaphore::new(PARTS as usize));
        Self { parts, slots: CpuSlots::new((processors / 2).max(1)), machine }
    }

    /// Waits until there is a place.
    pub(super) async fn place(&self, needs: Needs) -> Option<Place> {
        Arc::clone(&self.parts).acquire_many_owned(needs.parts()).await.ok()
    }

    /// Whether there is a place that nobody waits for.
    pub(super) fn has_room(&self, needs: Needs) -> bool {
        self.parts.available_permits() >= needs.parts() as usize
    }
}

/// The shares of all plugins that have code, by name.
#[derive(Debug)]
pub(super) struct Shares {
    processors: usize,
    machine: Arc<CpuSlots>,
    /// Held to look up, never across an await.
    by_plugin: Mutex<BTreeMap<String, Weak<Share>>>,
}

impl Shares {
    pub(super) fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        Self { processors, machine: CpuSlots::new(processors), by_plugin: Mutex::default() }
    }

    /// The share of a plugin: the same for all code of it that is still running.
    pub(super) fn of(&self, plugin: &str) -> Arc<Share> {
        let mut shares = self.by_plugin.lock().unwrap_or_else(PoisonError::into_inner);
        shares.retain(|_, share| share.strong_count() > 0);
        if let Some(share) = shares.get(plugin).and_then(Weak::upgrade) {
            return share;
        }
        let share = Arc::new(Share::new(self.processors, Arc::clone(&self.machine)));
        shares.insert(plugin.to_owned(), Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_quarter_of_the_pool_that_is_scarcest() {
        let most = |memories, tables, core_instances| Needs { memories, tables, core_instances }.most();
        assert_eq!(most(1, 1, 1), 250);
        assert_eq!(most(1, 8, 16), 250);
        assert_eq!(most(4, 1, 1), 62);
        assert_eq!(most(1, 32, 1), 62);
        assert_eq!(most(1, 1, 64), 62);
        assert_eq!(most(0, 0, 0), 250);
    }
}
