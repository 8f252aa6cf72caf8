//! The engine that compiles and runs components, one for the whole gateway.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use tokio::sync::Semaphore;
use wasmtime::component::Component;
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::cache::Cache;
use super::code::Code;
use super::limits::{MAX_MEMORY_BYTES, TICK};
use super::links::{LinkError, Links};
use crate::clock::Clock;
use crate::egress::Egress;
use crate::store::Store;

/// Instances that can live at a time, over all plugins.
const INSTANCES: u32 = 2200;

/// Core modules and tables that one instance is reckoned with; some languages need more, most need fewer.
const PARTS: u32 = 4;

/// Bytes that may be kept resident of each memory and each table that is not in use.
const KEPT_RESIDENT: usize = 0;

/// Native stack of one call. A guest that recurses deeper traps.
const GUEST_STACK: usize = 512 << 10;

/// What components reach through the kernel.
#[derive(Clone)]
pub struct Services {
    /// Where their key-value data is, and the digests of what was compiled.
    pub store: Store,
    /// Their way out.
    pub egress: Egress,
    /// Their time.
    pub clock: Clock,
}

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
    /// The compiler itself failed.
    #[error("could not be compiled: {0}")]
    Failed(String),
}

/// A cheap-clone handle to the engine.
#[derive(Clone)]
pub struct Engine {
    wasmtime: wasmtime::Engine,
    cache: Arc<Cache>,
    /// One compilation at a time, on one thread, so that the rest of the gateway keeps going.
    turn: Arc<Semaphore>,
    services: Services,
}

impl Engine {
    /// Starts the engine. What it compiles is kept in `<data_dir>/cache`, readable by its owner only.
    ///
    /// # Errors
    /// The machine doesn't give the address space, or can't run the engine at all.
    pub fn new(data_dir: &Path, services: Services) -> wasmtime::Result<Self> {
        let wasmtime = wasmtime::Engine::new(&config())?;
        tick(&wasmtime)?;
        let cache = Arc::new(Cache::new(data_dir.join("cache"), services.store.clone()));
        Ok(Self { wasmtime, cache, turn: Arc::new(Semaphore::new(1)), services })
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
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(failed)?;
        let (engine, cache, filed) = (self.wasmtime.clone(), Arc::clone(&self.cache), key.clone());
        let compiled = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let compiled = Component::from_binary(&engine, &component)?;
            let written = cache.write(&filed, &compiled);
            Ok((compiled, written))
        });
        let compiled = compiled.await.map_err(failed)?;
        let (compiled, written) = compiled.map_err(|error: wasmtime::Error| invalid(&error))?;
        self.cache.record(&key, written).await;
        Ok(Artifact(compiled))
    }

    /// Links a component to what it gets. Runs none of its code.
    ///
    /// # Errors
    /// The first import that is not granted or not served, by name.
    pub fn link(&self, artifact: &Artifact, links: Links) -> Result<Code, LinkError> {
        Code::new(artifact, links, self.services.clone())
    }
}

fn config() -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES)
        .total_memories(INSTANCES)
        .total_stacks(INSTANCES)
        .total_core_instances(INSTANCES * PARTS)
        .total_tables(INSTANCES * PARTS)
        .max_memory_size(MAX_MEMORY_BYTES as usize)
        .max_unused_warm_slots(100)
        .linear_memory_keep_resident(KEPT_RESIDENT)
        .table_keep_resident(KEPT_RESIDENT);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .memory_init_cow(true)
        .memory_reservation(MAX_MEMORY_BYTES)
        .memory_guard_size(32 << 20)
        .epoch_interruption(true)
        .concurrency_support(false)
        .parallel_compilation(false)
        .max_wasm_stack(GUEST_STACK);
    config
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
