//! Loads a component as a gateway would, without one, for its author.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::candidate::{Candidate, Origin};
use super::compiler::Compiler;
use super::component::Description;
use super::engine::Engine;
use super::generation::Generation;
use super::grants::{self, Allowance};
use super::inspect::{Inspected, inspect};
use super::links::{self, LinkError, Links};
use super::load::{self, Terms, examine, load};
use super::manifest::{MemoryAccess, PluginConfig};
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
        let (engine, store) = engine(data_dir, compiler)?;
        let mut components = Components::default();
        components.plugins_config.insert(name.clone(), settings);
        let allowance = Allowance { verified: manifest.permissions.clone(), ..Allowance::default() };
        let candidate = Candidate { bytes: component, origin: Origin::Folder { known: None } };
        let terms = Terms { name, allowance, components: &components, number: 1, trust: Trust::default() };
        let loaded = load(&engine, &candidate, terms).await.map_err(|refusal| refusal.error)?;
        Ok(Self { generation: Arc::new(loaded), store })
    }

    /// Everything that a gateway would say of a component, as far as that doesn't hang on its operator: its grants and its
    /// settings. One that imports what no gateway of this version serves is not asked what it gives.
    ///
    /// # Errors
    /// Its bytes or its manifest are such that no more can be said: everything that is wrong with those.
    pub async fn check(
        component: Bytes,
        data_dir: &Path,
        compiler: Compiler,
    ) -> std::result::Result<Checked, Vec<String>> {
        let bytes = component.clone();
        let inspected = tokio::task::spawn_blocking(move || inspect(&bytes)).await;
        let inspected = inspected.map_err(|error| vec![error.to_string()])?.map_err(|error| error.each())?;
        let manifest = &inspected.manifest;
        let allowance = Allowance { verified: manifest.permissions.clone(), ..Allowance::default() };
        // Without what only the operator can say, what has a default is there at least.
        let config = manifest.check_config(&Settings::default()).unwrap_or_else(|_| {
            let defaults =
                manifest.keys().filter_map(|(name, key)| Some((name.to_owned(), key.default.clone()?)));
            PluginConfig { json: Value::Object(defaults.collect()).to_string(), ..PluginConfig::default() }
        });
        let links = grants::links(manifest, &allowance, config);
        let unlinked = links::check(&inspected, &links).err().unwrap_or_default();
        let mut faults: Vec<String> = unlinked.iter().map(ToString::to_string).collect();
        faults.extend(manifest.plugin.semver().err());
        // What it doesn't ask for is given to it here, so that it can be asked what it gives all the same.
        let links = Links {
            http: Some(links.http.unwrap_or_default()),
            kv_bytes: Some(links.kv_bytes.unwrap_or_default()),
            memory: Some(links.memory.unwrap_or(MemoryAccess::Read)),
            turns: true,
            ..links
        };
        let mut description = Description::default();
        if unlinked.iter().all(|fault| matches!(fault, LinkError::NotAsked { .. })) {
            match described(component, &inspected, links, (data_dir, compiler)).await {
                Ok(given) => description = given,
                Err(fault) => faults.push(fault),
            }
            faults.extend(load::check(&description).err().unwrap_or_default());
        }
        Ok(Checked { inspected, description, faults })
    }

    /// Closes the store in the data directory.
    pub async fn close(self) {
        self.store.close().await;
    }
}

/// What a gateway would say of a component.
pub struct Checked {
    /// What it says of itself without being run.
    pub inspected: Inspected,
    /// What it said that it gives; nothing where it could not be asked.
    pub description: Description,
    /// Everything for which a gateway would refuse it, each with what to do about it.
    pub faults: Vec<String>,
}

fn engine(data_dir: &Path, compiler: Compiler) -> Result<(Engine, Store)> {
    let clock = Clock::system();
    let store = Store::open(data_dir, clock.clone()).map_err(Error::internal)?;
    let services = Services { store: store.clone(), egress: Egress::new(clock.clone()), clock };
    let engine = Engine::new(data_dir, services).map_err(|error| Error::internal(format!("{error:#}")))?;
    let engine = engine.with_compiler(compiler, CancellationToken::new());
    Ok((engine, store))
}

/// Compiles a component and asks it what it gives.
async fn described(
    component: Bytes,
    inspected: &Inspected,
    links: Links,
    (data_dir, compiler): (&Path, Compiler),
) -> std::result::Result<Description, String> {
    let (engine, store) = engine(data_dir, compiler).map_err(|error| error.message().to_owned())?;
    let asked = async {
        let artifact = engine.compile(component).await.map_err(|error| error.to_string())?;
        let code = engine.link(&artifact, inspected.core_instances, links);
        let code = code.map_err(|error| error.to_string())?;
        let described = code.describe().await;
        described.map_err(|error| format!("when it was asked to describe itself, {error}"))
    };
    let asked = asked.await;
    store.close().await;
    asked
}
