//! The engine that compiles and runs components, one for the whole gateway.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wasmtime::component::Component;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::cache::Cache;
use super::compiler::Compiler;
use super::limits::{MAX_MEMORY_BYTES, TICK};
use super::services::Services;
use super::share::{POOL_CORE_INSTANCES, POOL_INSTANCES, POOL_TABLES, Share, Shares};

/// Most components that are compiled at a time: two take long ones from nobody, and leave the machine to others.
pub(super) const MAX_COMPILATIONS: usize = 2;

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

/// Why there is no [`Artifact`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The bytes are no component that this engine can run.
    #[error("is not a component that can be compiled: {0}")]
    Invalid(String),
    /// Compiling them takes more than there is for it.
    #[error("costs too much to compile: {0}")]
    Costly(String),
    /// The compiler itself failed.
    #[error("could not be compiled: {0}")]
    Failed(String),
    /// The gateway stops.
    #[error("is not compiled any more: the gateway is stopping")]
    Stopped,
}

/// A cheap-clone handle to the engine.
#[derive(Clone)]
pub struct Engine {
    wasmtime: wasmtime::Engine,
    cache: Arc<Cache>,
    /// Address space reserved for one memory, in bytes.
    reservation: u64,
    compiler: Compiler,
    /// One permit for each compilation at a time.
    compilations: Arc<Semaphore>,
    shares: Arc<Shares>,
    /// Ends the compilations that are under way, and lets none begin.
    stopping: CancellationToken,
    pub(super) services: Services,
}

impl Engine {
    /// Starts the engine. What it compiles, in this process as long as nothing else is said, is kept in
    /// `<data_dir>/cache`, readable by its owner only.
    ///
    /// # Errors
    /// The machine doesn't give the address space, or can't run the engine at all.
    pub fn new(data_dir: &Path, services: Services) -> wasmtime::Result<Self> {
        let started =
            |reservation| wasmtime::Engine::new(&running(reservation)).map(|engine| (engine, reservation));
        let (wasmtime, reservation) = started(MEMORY_RESERVATION).or_else(|_| started(MAX_MEMORY_BYTES))?;
        tick(&wasmtime)?;
        let cache = Arc::new(Cache::new(data_dir.join("cache"), services.store.clone()));
        Ok(Self {
            wasmtime,
            cache,
            reservation,
            compiler: Compiler::Here,
            compilations: Arc::new(Semaphore::new(MAX_COMPILATIONS)),
            shares: Arc::new(Shares::new()),
            stopping: CancellationToken::new(),
            services,
        })
    }

    /// The same engine with its compiler elsewhere. Once `stopping` is cancelled it compiles no more.
    #[must_use]
    pub fn with_compiler(self, compiler: Compiler, stopping: CancellationToken) -> Self {
        Self { compiler, stopping, ..self }
    }

    /// What the plugin of this name may have of what all plugins share.
    pub(super) fn share(&self, plugin: &str) -> Arc<Share> {
        self.shares.of(plugin)
    }

    /// Makes native code of a component, or finds that it was made before. Dropping it ends what is under way.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub async fn compile(&self, component: Bytes) -> Result<Artifact, CompileError> {
        let (wasmtime, bytes) = (self.wasmtime.clone(), component.clone());
        let key = tokio::task::spawn_blocking(move || Cache::key(&wasmtime, &bytes)).await.map_err(failed)?;
        if let Some(artifact) = self.cache.load(&self.wasmtime, &key).await {
            return Ok(Artifact(artifact));
        }
        let compiled = self.stopping.run_until_cancelled(async {
            let _permit = self.compilations.acquire().await.map_err(failed)?;
            self.compiler.image(self.reservation, &component).await
        });
        let image = compiled.await.unwrap_or(Err(CompileError::Stopped))?;
        let artifact =
            self.cache.put(&self.wasmtime, &key, image).await.map_err(|error| failed(format!("{error:#}")));
        trim_heap();
        Ok(Artifact(artifact?))
    }
}

/// An engine that compiles for one that runs with this reservation, and runs nothing: it reserves nothing itself.
pub(super) fn compiling(reservation: u64) -> wasmtime::Result<wasmtime::Engine> {
    wasmtime::Engine::new(config(reservation).allocation_strategy(InstanceAllocationStrategy::OnDemand))
}

fn running(reservation: u64) -> Config {
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
