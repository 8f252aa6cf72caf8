//! How the engine is set up: the same for the one that compiles a component as for the one that runs it.

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::limits::MAX_MEMORY_BYTES;
use super::share::{POOL_CORE_INSTANCES, POOL_INSTANCES, POOL_TABLES};

/// Address space reserved for one memory, in bytes. So much spares the guest its bounds checks: a tenth of its time.
pub(super) const MEMORY_RESERVATION: u64 = 4 << 30;

/// Touched bytes of a memory and of a table that stay resident for the next instance, which is then made in half
/// the time and without interrupting the other processors.
const RESIDENT_MEMORY_BYTES: usize = 128 << 10;
const RESIDENT_TABLE_BYTES: usize = 16 << 10;

/// Native stack of one call, in bytes. A guest that recurses deeper traps.
const GUEST_STACK_BYTES: usize = 512 << 10;

/// An engine that compiles for one that runs with this reservation, and runs nothing: it reserves nothing itself.
pub(super) fn compiling(reservation: u64) -> wasmtime::Result<Engine> {
    Engine::new(config(reservation).allocation_strategy(InstanceAllocationStrategy::OnDemand))
}

/// What an engine is set up with that runs components.
pub(super) fn running(reservation: u64) -> Config {
    let mut config = config(reservation);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    config
}

fn config(reservation: u64) -> Config {
    let mut config = Config::new();
    config
        .memory_init_cow(true)
        .memory_reservation(reservation)
        .memory_guard_size(32 << 20)
        .epoch_interruption(true)
        .concurrency_support(false)
        .parallel_compilation(false)
        .max_wasm_stack(GUEST_STACK_BYTES);
    config
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(POOL_INSTANCES)
        .total_memories(POOL_INSTANCES)
        .total_stacks(POOL_INSTANCES)
        .total_core_instances(POOL_CORE_INSTANCES)
        .total_tables(POOL_TABLES)
        .max_memory_size(MAX_MEMORY_BYTES as usize);
    // Without this the kernel of the machine can't tell which bytes were touched, and keeping would touch more.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(RESIDENT_MEMORY_BYTES)
            .table_keep_resident(RESIDENT_TABLE_BYTES);
    }
    pool
}
