//! The engine that compiles and runs components, one for the whole gateway.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wasmtime::component::Component;

use super::cache::Cache;
use super::compiler::{CompileError, Compiler, Haste};
use super::files::Folders;
use super::limits::{MAX_MEMORY_BYTES, TICK};
use super::services::Services;
use super::share::{Share, Shares};
use super::tunables::{self, MEMORY_RESERVATION};

/// Most components that are compiled at a time: a long one keeps few others waiting, and the machine is left to the rest.
pub(super) const MAX_COMPILATIONS: usize = 2;

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

/// A cheap-clone handle to the engine.
#[derive(Clone)]
pub struct Engine {
    wasmtime: wasmtime::Engine,
    cache: Arc<Cache>,
    /// Address space reserved for one memory, in bytes.
    reservation: u64,
    compiler: Compiler,
    /// Set once something is served that compilations give way to.
    serves: Arc<AtomicBool>,
    /// One permit for each compilation at a time.
    compilations: Arc<Semaphore>,
    shares: Arc<Shares>,
    pub(super) folders: Arc<Folders>,
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
        let started = |reservation| {
            wasmtime::Engine::new(&tunables::running(reservation)).map(|engine| (engine, reservation))
        };
        let (wasmtime, reservation) = started(MEMORY_RESERVATION).or_else(|_| started(MAX_MEMORY_BYTES))?;
        tick(&wasmtime)?;
        let cache = Arc::new(Cache::new(data_dir.join("cache"), services.store.clone()));
        Ok(Self {
            wasmtime,
            cache,
            reservation,
            compiler: Compiler::Here,
            serves: Arc::default(),
            compilations: Arc::new(Semaphore::new(MAX_COMPILATIONS)),
            shares: Arc::new(Shares::new()),
            folders: Arc::new(Folders::new(data_dir)),
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
            self.compiler.image(self.reservation, self.haste(), &component).await
        });
        let image = compiled.await.unwrap_or(Err(CompileError::Stopped))?;
        let artifact =
            self.cache.put(&self.wasmtime, &key, image).await.map_err(|error| failed(format!("{error:#}")));
        // The compiler's memory, which the allocator would keep.
        prx_base::heap::trim();
        Ok(Artifact(artifact?))
    }

    /// Has compilations give way to what is served from now on.
    pub(super) fn give_way(&self) {
        self.serves.store(true, Ordering::Relaxed);
    }

    fn haste(&self) -> Haste {
        if self.serves.load(Ordering::Relaxed) { Haste::GivesWay } else { Haste::Start }
    }

    /// Drops what was kept of the component with this SHA-256; code of it that runs goes on.
    pub(super) async fn forget(&self, component: [u8; 32]) {
        self.cache.forget(component).await;
    }
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
