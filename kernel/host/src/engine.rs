//! The engine that compiles and runs components, one for the whole gateway.

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use wasmtime::component::Component;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::cache::Cache;
use super::limits::{MAX_MEMORY_BYTES, TICK};
use super::services::Services;

/// Most instances at a time, over all plugins.
const MAX_INSTANCES: u32 = 1000;

/// Core modules and tables for each of them. Few languages need as many; what isn't used costs nothing.
const MODULES_EACH: u32 = 16;
const TABLES_EACH: u32 = 8;

/// Address space reserved for one memory, in bytes. So much spares the guest its bounds checks: a tenth of its time.
const MEMORY_RESERVATION: u64 = 4 << 30;

/// Touched bytes of a memory and of a table that stay resident for the next instance, which is then made in half
/// the time and without interrupting the other processors.
const RESIDENT_MEMORY_BYTES: usize = 128 << 10;
const RESIDENT_TABLE_BYTES: usize = 16 << 10;

/// Native stack of one call, in bytes. A guest that recurses deeper traps.
const GUEST_STACK_BYTES: usize = 512 << 10;

/// A compiled component. Cloning it is cheap.
#[derive(Clone)]
pub struct Artifact(pub(super) Component);

impl Artifact {
    /// Size of the native code and what goes with it.
    pub fn image_bytes(&self) -> u64 {
        let image = self.0.image_range();
        (image.end.addr() - image.start.addr()) as u64
    }
}

/// What a compilation made.
struct Compiled {
    component: Component,
    /// The digest of its file, or why there is none.
    written: wasmtime::Result<[u8; 32]>,
}

/// Why there is no [`Artifact`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The bytes are no component that this engine can run.
    #[error("is not a component that can be compiled: {0}")]
    Invalid(String),
    /// The compiler itself failed.
    #[error("could not be compiled: {0}")]
    Failed(String),
}

/// A cheap-clone handle to the engine.
#[derive(Clone)]
pub struct Engine {
    wasmtime: wasmtime::Engine,
    cache: Arc<Cache>,
    /// How many processors the machine gives the gateway.
    processors: u32,
    /// One permit for each processor.
    compilations: Arc<Semaphore>,
    /// How many permits a compilation takes: one while the gateway starts, then all, so that there is one compilation at
    /// a time and the rest of the gateway keeps going.
    permits_each: Arc<AtomicU32>,
    pub(super) services: Services,
}

impl Engine {
    /// Starts the engine. What it compiles is kept in `<data_dir>/cache`, readable by its owner only.
    ///
    /// # Errors
    /// The machine doesn't give the address space, or can't run the engine at all.
    pub fn new(data_dir: &Path, services: Services) -> wasmtime::Result<Self> {
        let spacious = wasmtime::Engine::new(&config(MEMORY_RESERVATION));
        let wasmtime = spacious.or_else(|_| wasmtime::Engine::new(&config(MAX_MEMORY_BYTES)))?;
        tick(&wasmtime)?;
        let cache = Arc::new(Cache::new(data_dir.join("cache"), services.store.clone()));
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        Ok(Self {
            wasmtime,
            cache,
            processors: u32::try_from(processors)?,
            compilations: Arc::new(Semaphore::new(processors)),
            permits_each: Arc::new(AtomicU32::new(1)),
            services,
        })
    }

    /// How many components are compiled at a time while the gateway starts: one on each processor.
    pub(super) fn parallel_compilations(&self) -> usize {
        self.processors as usize
    }

    /// From now on components are compiled one at a time, so that the rest of the gateway keeps going.
    pub(super) fn compile_one_at_a_time(&self) {
        self.permits_each.store(self.processors, Relaxed);
    }

    /// Makes native code of a component, or finds that it was made before.
    ///
    /// # Errors
    /// The bytes are no valid component.
    pub async fn compile(&self, component: Bytes) -> Result<Artifact, CompileError> {
        let key = Cache::key(&self.wasmtime, &component);
        if let Some(artifact) = self.cache.load(&self.wasmtime, &key).await {
            return Ok(Artifact(artifact));
        }
        let permits = self.permits_each.load(Relaxed);
        let permit = Arc::clone(&self.compilations).acquire_many_owned(permits).await.map_err(failed)?;
        let Compiled { component, written } = self.compile_aside(component, key.clone(), permit).await?;
        self.cache.record(&key, written).await;
        // In the file's pages it costs the gateway no memory of its own.
        Ok(Artifact(self.cache.load(&self.wasmtime, &key).await.unwrap_or(component)))
    }

    /// Compiles on a thread of its own. It is none of the runtime's: a gateway that is told to stop doesn't wait for it.
    async fn compile_aside(
        &self,
        component: Bytes,
        key: String,
        permit: OwnedSemaphorePermit,
    ) -> Result<Compiled, CompileError> {
        let (engine, cache) = (self.wasmtime.clone(), Arc::clone(&self.cache));
        let (done, compiled) = oneshot::channel();
        let compile = move || {
            let compiled = Component::from_binary(&engine, &component).map(|component| {
                let written = cache.write(&key, &component);
                trim_heap();
                Compiled { component, written }
            });
            drop(permit);
            // Nobody may be waiting any more.
            let _ = done.send(compiled.map_err(|error| invalid(&error)));
        };
        thread::Builder::new().name("compile".into()).spawn(compile).map_err(failed)?;
        compiled.await.map_err(failed)?
    }
}

fn config(reservation: u64) -> Config {
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool()))
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
    pool.total_component_instances(MAX_INSTANCES)
        .total_memories(MAX_INSTANCES)
        .total_stacks(MAX_INSTANCES)
        .total_core_instances(MAX_INSTANCES * MODULES_EACH)
        .total_tables(MAX_INSTANCES * TABLES_EACH)
        .max_memory_size(MAX_MEMORY_BYTES as usize);
    // Without this the kernel of the machine can't tell which bytes were touched, and keeping would touch more.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(RESIDENT_MEMORY_BYTES)
            .table_keep_resident(RESIDENT_TABLE_BYTES);
    }
    pool
}

/// Advances the engine's epoch for as long as the engine lives.
fn tick(engine: &wasmtime::Engine) -> wasmtime::Result<()> {
    let engine = engine.weak();
    let ticker = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    };
    thread::Builder::new().name("epoch".into()).spawn(ticker)?;
    Ok(())
}

fn invalid(error: &wasmtime::Error) -> CompileError {
    CompileError::Invalid(format!("{error:#}"))
}

fn failed(error: impl std::fmt::Display) -> CompileError {
    CompileError::Failed(error.to_string())
}

/// Returns what the compiler has freed to the system, tens of MiB that the allocator would keep.
fn trim_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "the allocator is asked by a C call")]
    // SAFETY: malloc_trim(3) may be called at any time from any thread; it only unmaps what is free.
    unsafe {
        libc::malloc_trim(0);
    }
}
