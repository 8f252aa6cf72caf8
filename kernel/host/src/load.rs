//! Loads a component: inspects, compiles and links it, and asks it to describe itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::candidate::Candidate;
use super::compiler::CompileError;
use super::component::{self, Description};
use super::engine::{Artifact, Engine};
use super::generation::Generation;
use super::grants::{self, Allowance};
use super::inspect::{Capability, Inspected, inspect};
use super::links;
use super::manifest::{Manifest, PluginConfig};
use super::trust::Trust;
use prx_base::clock;
use prx_base::config::{Components, Settings, provider_plugin, provider_settings};
use prx_base::error::{Code, Error, Result};

/// Most tools, skills or models of one plugin.
const MAX_CAPABILITIES: usize = 256;
/// Stages that a filter can be asked at.
const MAX_STAGES: usize = 4;

/// Where a provider finds its own name in its configuration, unless it has a key of that name.
const PROVIDER_NAME: &str = "provider";

/// Why a candidate is not taken, and its manifest as far as that was known.
pub(super) struct Refusal {
    pub(super) manifest: Option<Arc<Manifest>>,
    pub(super) error: Error,
}

/// The configuration and grants that a candidate is loaded under.
pub(super) struct Terms<'a> {
    pub(super) name: &'a str,
    pub(super) allowance: Allowance,
    pub(super) components: &'a Components,
    /// Whose code is taken.
    pub(super) trust: Trust,
    /// The number it gets if it is taken.
    pub(super) number: u64,
}

/// Inspects a component and takes its SHA-256, off the async workers.
pub(super) async fn examine(bytes: Bytes) -> Result<(Inspected, [u8; 32])> {
    let look = move || inspect(&bytes).map(|found| (found, Sha256::digest(&bytes).into()));
    let found = tokio::task::spawn_blocking(look).await.map_err(Error::internal)?;
    found.map_err(|error| match error.is_garbage() {
        true => Error::bad_request(error.to_string()),
        false => Error::conflict(error.to_string()),
    })
}

/// A component's SHA-256, taken off the async workers.
pub(super) async fn digest(bytes: Bytes) -> Result<[u8; 32]> {
    tokio::task::spawn_blocking(move || Sha256::digest(&bytes).into()).await.map_err(Error::internal)
}

/// Loads a candidate. The generation that serves is left alone.
pub(super) async fn load(
    engine: &Engine,
    candidate: &Candidate,
    terms: Terms<'_>,
) -> Result<Generation, Refusal> {
    let named = |error: Error| prefixed(terms.name, error);
    let examined = examine(candidate.bytes.clone()).await;
    let (inspected, digest) = examined.map_err(|error| Refusal { manifest: None, error: named(error) })?;
    let manifest = Arc::new(inspected.manifest.clone());
    let refuse = |error: Error| Refusal { manifest: Some(Arc::clone(&manifest)), error: named(error) };

    let trusted = terms.trust.check(&manifest.plugin, inspected.signer, &candidate.origin);
    trusted.map_err(|why| refuse(Error::conflict(why)))?;
    if let Err(why) = manifest.plugin.semver() {
        if !candidate.has_loaded() {
            return Err(refuse(Error::conflict(why)));
        }
        tracing::warn!(plugin = terms.name, "it goes on serving, but will not be installed again: {why}");
    }
    let config = admit(&inspected, &terms).map_err(refuse)?;
    let rights = grants::rights(&manifest, &terms.allowance, &config);
    let links = grants::links(&manifest, &terms.allowance, config);
    links::check(&inspected, &links).map_err(|wrong| refuse(Error::conflict(listed(&wrong))))?;
    let compiling = clock::stopwatch();
    let artifact = engine.compile(candidate.bytes.clone()).await.map_err(|error| {
        refuse(match error {
            CompileError::Invalid(_) | CompileError::Costly(_) => Error::bad_request(error.to_string()),
            CompileError::Failed(_) => Error::internal(error),
            CompileError::Stopped => Error::new(Code::Unavailable, error.to_string()),
        })
    })?;
    let compile_ms = u64::try_from(compiling.elapsed().as_millis()).unwrap_or(u64::MAX);
    let code = engine
        .link(&artifact, inspected.core_instances, links)
        .map_err(|error| refuse(Error::conflict(error.to_string())))?;
    let description = code.describe().await;
    let description = description
        .map_err(|error| refuse(Error::conflict(format!("when it was asked to describe itself, {error}"))))?;
    check(&description).map_err(|wrong| refuse(Error::conflict(listed(&wrong))))?;
    let providers = further_providers(engine, &artifact, &inspected, &terms);
    Ok(Generation {
        number: terms.number,
        manifest: Arc::clone(&manifest),
        description,
        code,
        providers,
        bundled: candidate.is_bundled(),
        size: candidate.bytes.len() as u64,
        signer: inspected.signer,
        compile_ms,
        rights,
        allowance: terms.allowance,
        digest,
        failures: AtomicU32::new(0),
        steps: AtomicU32::new(0),
    })
}

/// What can be said before anything is compiled: its name, its grants, its configuration.
fn admit(inspected: &Inspected, terms: &Terms<'_>) -> Result<PluginConfig> {
    let (manifest, name) = (&inspected.manifest, terms.name);
    if manifest.plugin.name != name {
        let said = &manifest.plugin.name;
        return Err(Error::conflict(format!(
            "its manifest says that it is `{said}`; its file must be {said}.wasm"
        )));
    }
    if let Some(grant) = grants::missing(manifest, &terms.allowance) {
        let lines = grants::lines(name, &grant);
        let revealed = terms.allowance.revealed(manifest).join(", ");
        let what = match (terms.allowance.stands_in, revealed.is_empty()) {
            (_, false) => format!("would read in plain text what was a secret ({revealed})"),
            (true, true) => {
                "stands in for the plugin that came with the gateway, and is granted nothing of what \
                             that one is"
                    .to_owned()
            }
            (false, true) => "asks for more than it is granted".to_owned(),
        };
        let message = format!("{what}; to grant it, put this into prx.toml:\n{lines}");
        return Err(Error::conflict(message).with_details(json!({ "plugin": name, "missing": grant })));
    }
    // A connector gets the configuration of its channel with each call, of which there may be several.
    if inspected.capabilities.iter().all(|capability| *capability == Capability::Channel) {
        return Ok(PluginConfig { json: "{}".into(), ..PluginConfig::default() });
    }
    let (table, settings) = settings(inspected, name, terms.components);
    let config = manifest.check_config(&settings).map_err(|problems| {
        let message = format!("its configuration in [{table}.{name}] is not right: {}", problems.join("; "));
        Error::conflict(message).with_details(json!({ "problems": problems }))
    });
    config.map(|config| named_provider(config, inspected, name))
}

/// The code once more for each provider that a table of the configuration makes of the plugin, under that table's
/// settings; or why that can't be.
fn further_providers(
    engine: &Engine,
    artifact: &Artifact,
    inspected: &Inspected,
    terms: &Terms<'_>,
) -> BTreeMap<String, Result<component::Code, String>> {
    let manifest = &inspected.manifest;
    let link = |provider: &str, table: &Settings| {
        let config = manifest.check_config(&provider_settings(table)).map_err(|problems| {
            format!(
                "its configuration in [providers_config.{provider}] is not right: {}",
                problems.join("; ")
            )
        })?;
        let config = named_provider(config, inspected, provider);
        let links = grants::links(manifest, &terms.allowance, config);
        engine.link(artifact, inspected.core_instances, links).map_err(|error| error.to_string())
    };
    let tables = terms.components.further_providers(terms.name);
    tables.map(|(provider, table)| (provider.to_owned(), link(provider, table))).collect()
}

/// Tells a provider its own name, by which its settings are found: one plugin may give several.
fn named_provider(mut config: PluginConfig, inspected: &Inspected, name: &str) -> PluginConfig {
    if inspected.capabilities.contains(&Capability::Provider)
        && let Ok(Value::Object(mut settings)) = serde_json::from_str(&config.json)
    {
        settings.entry(PROVIDER_NAME).or_insert_with(|| name.into());
        config.json = Value::Object(settings).to_string();
    }
    config
}

fn settings(inspected: &Inspected, name: &str, components: &Components) -> (&'static str, Settings) {
    match components.plugins_config.get(name) {
        None if inspected.capabilities.contains(&Capability::Provider) => {
            let table = components.providers_config.get(name);
            let own = table.filter(|table| provider_plugin(name, table) == name);
            ("providers_config", own.map(provider_settings).unwrap_or_default())
        }
        settings => ("plugins_config", settings.cloned().unwrap_or_default()),
    }
}

/// Several things that are wrong, in one line.
pub(super) fn listed(wrong: &[impl ToString]) -> String {
    wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Holds a component's own words against what the rest of the gateway builds on.
///
/// # Errors
/// Everything that is wrong with them.
pub(super) fn check(description: &Description) -> Result<(), Vec<String>> {
    let mut wrong = names("tools", description.tools.iter().map(|tool| tool.name.as_str()));
    wrong.extend(names("skills", description.skills.iter().map(|skill| skill.name.as_str())));
    for tool in &description.tools {
        match serde_json::from_str(&tool.parameters) {
            Ok(Value::Object(_)) => {}
            _ => wrong.push(format!("the parameters of its tool {} are no JSON object", tool.name)),
        }
    }
    let kinds = description.observes.as_deref().unwrap_or_default();
    if kinds.len() > MAX_CAPABILITIES || kinds.iter().any(|kind| kind.is_empty() || kind.len() > 256) {
        wrong.push(format!("its observer wants kinds of 1 to 256 bytes each, {MAX_CAPABILITIES} at most"));
    }
    match description.filters.as_deref() {
        Some([]) => wrong.push("its filter wants no stage, so it would be asked about nothing".into()),
        Some(stages) if stages.len() > MAX_STAGES => {
            wrong.push(format!("its filter names {} stages; there are {MAX_STAGES}", stages.len()));
        }
        _ => {}
    }
    if description.models.as_ref().is_some_and(|models| models.len() > MAX_CAPABILITIES) {
        wrong.push(format!("it has more than {MAX_CAPABILITIES} models"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// What is wrong with the names of its tools or skills.
fn names<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
    for name in names {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
            wrong.push(format!(
                "one of its {what} has the name {name:?}; use 1 to 64 of a-z, A-Z, 0-9, _, - and ."
            ));
        } else if !seen.insert(name) {
            wrong.push(format!("it has two {what} named {name}"));
        }
        if seen.len() > MAX_CAPABILITIES || wrong.len() > MAX_CAPABILITIES {
            wrong.push(format!("it has more than {MAX_CAPABILITIES} {what}"));
            break;
        }
    }
    wrong
}

fn prefixed(name: &str, error: Error) -> Error {
    let prefixed = Error::new(error.code(), format!("Plugin {name}: {}", error.message()));
    let prefixed = match error.details() {
        Some(details) => prefixed.with_details(details.clone()),
        None => prefixed,
    };
    if std::error::Error::source(&error).is_some() { prefixed.with_cause(error) } else { prefixed }
}

#[cfg(test)]
mod tests {
    use super::super::bindings::tool::ToolInfo;
    use super::*;

    #[test]
    fn all_that_a_component_says_wrongly_is_told_at_once() {
        let tool = |name: &str, parameters: &str| ToolInfo {
            name: name.into(),
            description: String::new(),
            parameters: parameters.into(),
            read_only: false,
        };
        let tools = vec![tool("a b", "{}"), tool("x", "[]"), tool("x", "{}")];
        let description = Description { tools, filters: Some(Vec::new()), ..Description::default() };
        let told = check(&description).unwrap_err();
        let parts =
            ["the name \"a b\"", "two tools named x", "its tool x are no JSON object", "wants no stage"];
        assert!(
            told.len() == 4 && told.iter().zip(parts).all(|(told, part)| told.contains(part)),
            "{told:?}"
        );
        assert!(check(&Description::default()).is_ok());
    }
}
