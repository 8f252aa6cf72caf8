//! The first load of everything there is.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};

use super::catalog::Entry;
use super::engine::{Engine, MAX_COMPILATIONS};
use super::known::Known;
use super::load::{Refusal, examine};
use super::placing::Prepared;
use super::registry::{Options, Plugins, Progress};
use prx_base::Base;
use prx_base::error::Result;
use prx_store::Store;

impl Plugins {
    /// Makes a registry and loads every plugin there is: [`Plugins::new`], then [`Plugins::load_all`].
    ///
    /// # Errors
    /// As those two.
    pub async fn open(base: Base, store: Store, engine: Engine, options: Options) -> Result<Self> {
        let plugins = Self::new(base, store, engine, options).await?;
        plugins.load_all().await?;
        Ok(plugins)
    }

    /// Loads every plugin there is, compiling two at a time. Who of two that give the same gets it does not depend on
    /// which is ready first: what came with the gateway goes before what the operator added, and otherwise the names
    /// decide. One that cannot be loaded is listed as failed, with the reason.
    ///
    /// Called once, before anything else. [`Plugins::progress`] tells how far it is. When it is dropped, nothing more
    /// is loaded, and what is being compiled is ended.
    ///
    /// # Errors
    /// The folder for plugins cannot be read, or the store fails.
    pub async fn load_all(&self) -> Result<()> {
        let names = self.names().await?;
        for name in &names {
            let disabled = self.0.store.plugin(name)?.is_some_and(|record| record.disabled);
            self.change(name, |_| Some(Entry::blank(disabled)));
        }
        self.0.progress.send_replace(Progress { loaded: 0, total: names.len() });
        // A few more than are compiled, so that one that takes long keeps few others waiting.
        let side_by_side = MAX_COMPILATIONS * 2;
        let mut all = stream::iter(names).map(|name| self.prepare_first(name)).buffered(side_by_side);
        while let Some((name, prepared)) = all.next().await {
            if let Err(error) = self.place(&name, prepared).await {
                tracing::error!(plugin = name, "not loaded: {error}");
                self.fall_back(&name, &error).await;
            }
        }
        self.0.engine.give_way();
        Ok(())
    }

    /// Every plugin that will be loaded and whose manifest can be read, by name: to check a configuration against before
    /// anything is compiled.
    ///
    /// # Errors
    /// The folder for plugins cannot be read.
    pub async fn inspect_all(&self) -> Result<BTreeMap<String, Known>> {
        let bundled = self.0.verified.iter();
        let mut known: BTreeMap<_, _> =
            bundled.map(|(name, known)| ((*name).to_owned(), known.clone())).collect();
        let Some(folder) = &self.0.folder else { return Ok(known) };
        for name in folder.names().await? {
            let Some(bytes) = folder.read(&name).await? else { continue };
            // Why one can't be read is said when it is loaded.
            if let Ok((inspected, _)) = examine(bytes).await {
                known.insert(name, inspected.into());
            }
        }
        Ok(known)
    }

    /// Every plugin there is, in the order in which they are put in service.
    async fn names(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = self.0.bundled.all().map(|(name, _)| name.to_owned()).collect();
        if let Some(folder) = &self.0.folder {
            let added = folder.names().await?;
            names.extend(added.into_iter().filter(|name| self.0.bundled.find(name).is_none()));
        }
        Ok(names)
    }

    async fn prepare_first(&self, name: String) -> (String, Result<Prepared, Refusal>) {
        let prepared = match self.candidate(&name).await {
            Ok(candidate) => self.prepare(&name, candidate).await,
            Err(error) => Err(Refusal { manifest: None, error }),
        };
        self.0.progress.send_modify(|progress| progress.loaded += 1);
        (name, prepared)
    }
}
