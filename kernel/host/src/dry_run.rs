//! Loads a component as a gateway would, without one, for its author.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::candidate::{Candidate, Origin};
use super::compiler::Compiler;
use super::engine::Engine;
use super::generation::Generation;
use super::grants::{self, Allowance};
use super::inspect::Inspected;
use super::links::{self, LinkError};
use super::load::{Terms, examine, load};
use super::manifest::PluginConfig;
use super::services::Services;
use super::trust::Trust;
use prx_base::clock::Clock;
use prx_base::config::{Components, Settings};
use prx_base::error::{Error, Result};
use prx_egress::Egress;
use prx_store::Store;

/// A component that was loaded with everything that it asks for granted.
pub struct DryRun {
    /// The component, loaded.
    pub generation: Arc<Generation>,
    store: Store,
}

impl DryRun {
    /// Compiles a component, links it and asks it what it gives, in a data directory of its own.
    ///
    /// # Errors
    /// Why a gateway would not load it, these settings included.
    pub async fn of(
        component: Bytes,
        settings: Settings,
        data_dir: &Path,
        compiler: Compiler,
    ) -> Result<Self> {
        let manifest = examine(component.clone()).await?.0.manifest;
        let name = &manifest.plugin.name;
        let clock = Clock::system();
        let store = Store::open(data_dir, clock.clone()).map_err(Error::internal)?;
        let services = Services { store: store.clone(), egress: Egress::new(clock.clone()), clock };
        let engine =
            Engine::new(data_dir, services).map_err(|error| Error::internal(format!("{error:#}")))?;
        let engine = engine.with_compiler(compiler, CancellationToken::new());
        let mut components = Components::default();
        components.plugins_config.insert(name.clone(), settings);
        let allowance = Allowance { verified: manifest.permissions.clone(), ..Allowance::default() };
        let candidate = Candidate { bytes: component, origin: Origin::Folder { known: None } };
        let terms = Terms { name, allowance, components: &components, number: 1, trust: Trust::default() };
        let loaded = load(&engine, &candidate, terms).await.map_err(|refusal| refusal.error)?;
        Ok(Self { generation: Arc::new(loaded), store })
    }

    /// What can be said without compiling it: whether its manifest asks for everything that it imports.
    ///
    /// # Errors
    /// It is of no version, or requires another gateway; otherwise the first import that it doesn't ask for or that isn't served.
    pub fn check(component: &Inspected) -> Result<(), LinkError> {
        let manifest = &component.manifest;
        manifest.plugin.semver().map_err(LinkError::Versions)?;
        let allowance = Allowance { verified: manifest.permissions.clone(), ..Allowance::default() };
        links::check(component, &grants::links(manifest, &allowance, PluginConfig::default()))
    }

    /// Closes the store in the data directory.
    pub async fn close(self) {
        self.store.close().await;
    }
}
