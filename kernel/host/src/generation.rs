//! One load of a plugin: its code, and what it may do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::bindings::stage_name;
use super::call::CallError;
use super::component::{Code, Description};
use super::grants::{self, Allowance};
use super::manifest::{Manifest, PluginConfig, RouteScope};
use super::rights::Rights;
use super::signature::PublicKey;
use prx_egress::Policy;

/// One successful load of a plugin. Who holds it can go on using it, whatever happens to the plugin meanwhile.
pub struct Generation {
    /// Rises with each load of the plugin.
    pub number: u64,
    /// What the plugin says about itself.
    pub manifest: Arc<Manifest>,
    /// What its code describes itself as.
    pub description: Description,
    /// Its code.
    pub code: Code,
    /// The same for each further provider that a table of the configuration makes of it, by the table's name; or why not.
    pub(super) providers: BTreeMap<String, Result<Code, String>>,
    /// Whether the code came with the gateway.
    pub bundled: bool,
    pub(super) compile_ms: u64,
    pub(super) allowance: Allowance,
    /// What it may do without being asked.
    pub rights: Rights,
    pub(super) digest: [u8; 32],
    /// Bytes of its component.
    pub(super) size: u64,
    /// Who has signed it.
    pub(super) signer: Option<PublicKey>,
    /// Calls in a row that failed through its own fault.
    pub(super) failures: AtomicU32,
    /// Steps of an agent's, or answers of a filter's, that it has done well.
    pub(super) steps: AtomicU32,
}

impl Generation {
    /// The plugin's name.
    pub fn name(&self) -> &str {
        &self.manifest.plugin.name
    }

    /// Where requests on its behalf may go and which secrets they may carry, under a configuration that its
    /// manifest has checked.
    pub fn policy(&self, config: &PluginConfig) -> Policy {
        grants::policy(&self.manifest, &self.allowance, config)
    }

    /// Its capabilities as the API names them, such as `tool:get_weather`.
    pub fn capabilities(&self) -> Vec<String> {
        let description = &self.description;
        let channel = description.connector.then(|| format!("channel:{}", self.name()));
        let names = std::iter::once(self.name()).chain(self.providers.keys().map(String::as_str));
        let names = names.filter(|_| description.models.is_some());
        let providers = names.map(|name| format!("provider:{name}"));
        let tools = description.tools.iter().map(|tool| format!("tool:{}", tool.name));
        let skills = description.skills.iter().map(|skill| format!("skill:{}", skill.name));
        let agent = description.agent.then(|| format!("agent:{}", self.name()));
        let observer = description.observes.is_some().then(|| format!("observer:{}", self.name()));
        let own = description.route.then(|| format!("/ext/{}", self.name()));
        let routes = own.into_iter().chain(self.prefixes()).map(|path| format!("route:{path}"));
        let stages = description.filters.iter().flatten();
        let filters = stages.map(|stage| format!("filter:{}", stage_name(*stage)));
        let jobs = self.manifest.schedules().map(|schedule| format!("job:{}", schedule.name));
        channel
            .into_iter()
            .chain(agent)
            .chain(providers)
            .chain(tools)
            .chain(skills)
            .chain(jobs)
            .chain(observer)
            .chain(routes)
            .chain(filters)
            .collect()
    }

    /// The prefixes of paths that it serves beside its own.
    pub(super) fn prefixes(&self) -> Vec<String> {
        match self.description.route {
            true => grants::granted(&self.manifest.permissions, &self.allowance).routes,
            false => Vec::new(),
        }
    }

    /// Who may call its routes.
    pub fn route_access(&self) -> (RouteScope, bool) {
        let scope = self.manifest.routes.as_ref().map(|routes| routes.scope).unwrap_or_default();
        (scope, grants::granted(&self.manifest.permissions, &self.allowance).public)
    }

    /// What there is to go back to while this code is on probation, behind the code that serves and what that could go back
    /// to: code that is on probation itself is none. The same code of a filter under other settings is not on probation, and
    /// nor is there a way back to the settings from before; an agent is told its settings with each step.
    pub(super) fn probation_after(
        &self,
        before: Option<Arc<Self>>,
        serving: Option<Arc<Self>>,
    ) -> Option<Arc<Self>> {
        let is_same_code = serving.as_ref().is_some_and(|serving| serving.digest == self.digest);
        let earlier = before.or(serving)?;
        let are_agents = self.description.agent && earlier.description.agent;
        let are_filters = self.description.filters.is_some() && earlier.description.filters.is_some();
        (are_agents || are_filters && !is_same_code).then_some(earlier)
    }

    /// The code of one of its providers.
    ///
    /// # Errors
    /// Its table is not right: why. None: there is no such provider.
    pub(super) fn provider(&self, name: &str) -> Option<Result<&Code, &String>> {
        self.description.models.as_ref()?;
        if name == self.name() { Some(Ok(&self.code)) } else { Some(self.providers.get(name)?.as_ref()) }
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        let further = self.providers.values().flatten().map(Code::instance_bytes);
        self.code.memory_bytes() + further.sum::<u64>()
    }

    /// Starts counting failures in a row anew.
    pub(super) fn reset_failures(&self) {
        self.failures.store(0, Relaxed);
    }

    /// Counts the outcome of a call. Returns how many in a row have now failed through its own fault, if this one has.
    pub(super) fn count(&self, outcome: Result<(), &CallError>) -> Option<u32> {
        match outcome {
            Ok(()) | Err(CallError::Fault(_)) => self.reset_failures(),
            Err(error) if error.is_defect() => return Some(self.failures.fetch_add(1, Relaxed) + 1),
            Err(_) => {}
        }
        None
    }
}
