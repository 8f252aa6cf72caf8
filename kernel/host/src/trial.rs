//! A component loaded on its own, as a gateway would load it, for its author.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::catalog::Generation;
use super::engine::{Engine, Services};
use super::grants::Allowance;
use super::load::{Candidate, Terms, examine, load};
use prx_base::clock::Clock;
use prx_base::config::{Components, Grant, Settings};
use prx_base::error::{Error, Result};
use prx_egress::Egress;
use prx_store::Store;

/// A component that was loaded with everything that it asks for granted.
pub struct Trial {
    /// What it became.
    pub generation: Arc<Generation>,
    store: Store,
}

impl Trial {
    /// Compiles a component, links it and asks it what it gives, in a data directory of its own.
    ///
    /// # Errors
    /// Why a gateway would not load it, these settings included.
    pub async fn of(component: Bytes, settings: Settings, data_dir: &Path) -> Result<Self> {
        let manifest = examine(component.clone()).await?.0.manifest;
        let name = &manifest.plugin.name;
        let clock = Clock::system();
        let store = Store::open(data_dir, clock.clone()).map_err(Error::internal)?;
        let services = Services { store: store.clone(), egress: Egress::new(clock.clone()), clock };
        let engine =
            Engine::new(data_dir, services).map_err(|error| Error::internal(format!("{error:#}")))?;
        let mut components = Components::default();
        components.plugins_config.insert(name.clone(), settings);
        let allowance = Allowance { operator: Grant::default(), verified: manifest.permissions.clone() };
        let candidate = Candidate { bytes: component, bundled: false };
        let terms = Terms { name, allowance, components: &components, number: 1 };
        let loaded = load(&engine, &candidate, terms).await.map_err(|refusal| refusal.error)?;
        Ok(Self { generation: Arc::new(loaded), store })
    }

    /// Lets go of the data directory.
    pub async fn end(self) {
        self.store.close().await;
    }
}
