//! Providers, and the models that their servers have.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::gateway::Gateway;
use prx_base::error::{Code, Error, Result};
use prx_host::{CallError, Status as PluginState};
use prx_http::{Call, Doc, Reply};

/// Most models that are shown of one provider.
const MAX_MODELS: usize = 2000;

#[derive(Serialize, JsonSchema)]
struct Providers {
    providers: Vec<Provider>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Provider")]
struct Provider {
    name: String,
    /// The plugin that gives it.
    plugin: String,
    /// It is asked: `provider.name` or one of `provider.fallbacks` names it.
    in_use: bool,
    /// Why it gave no answer the last time.
    problem: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Models {
    models: Vec<Model>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Model")]
struct Model {
    id: String,
    /// Tokens that it takes, its answer included: as it is set, as a refusal has told, or as the server says.
    window: Option<u64>,
    /// Tokens of its longest answer.
    max_output: Option<u64>,
    /// Turns are answered by it, or by it if others fail.
    in_use: bool,
}

pub(super) const LIST: Doc = Doc::new("List providers of models").answers::<Providers>(&[200]);

pub(super) async fn list(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    let config = gateway.base.config.current();
    let serving = gateway.plugins.list().into_iter().filter(|plugin| plugin.status == PluginState::Loaded);
    let mut providers = Vec::new();
    for plugin in serving {
        let names = plugin.capabilities.iter().filter_map(|capability| capability.strip_prefix("provider:"));
        for name in names.filter(|name| config.components.plugin_of(name) == plugin.name) {
            providers.push(Provider {
                name: name.to_owned(),
                plugin: plugin.name.clone(),
                in_use: config.provider.choices().any(|(used, _)| used == name),
                problem: gateway.turns.provider_problem(name),
            });
        }
    }
    providers.sort_by(|one, other| one.name.cmp(&other.name));
    Reply::ok(&Providers { providers })
}

pub(super) const MODELS: Doc = Doc::new("List the models of a provider, as its server says now")
    .answers::<Models>(&[200])
    .fails(&[Code::NotFound, Code::BadGateway, Code::GatewayTimeout, Code::Unavailable]);

pub(super) async fn models(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let provider = call.param("name");
    let said = match gateway.plugins.list_models(provider).await {
        Ok(said) => said.map_err(|refused| CallError::Fault(refused.fault).into_error(provider))?,
        Err(CallError::NoSuch(_)) => return Err(Error::not_found("Provider", provider)),
        Err(failure) => return Err(failure.into_error(provider)),
    };
    let config = gateway.base.config.current();
    let of_this = |(name, model): (&str, &str)| (name == provider).then(|| model.to_owned());
    let used: Vec<String> = config.provider.choices().filter_map(of_this).collect();
    let set = config.components.models_set(provider).map(str::to_owned);
    // What is used or set is shown whether or not the server names it.
    let mut known: BTreeMap<String, (Option<u64>, Option<u64>)> =
        said.into_iter().take(MAX_MODELS).map(|said| (said.id, (said.window, said.max_output))).collect();
    used.iter().cloned().chain(set).for_each(|id| {
        known.entry(id).or_default();
    });
    let shown = known.into_iter().map(|(id, (window, max_output))| {
        let set = config.components.model(provider, &id);
        let learned = gateway.turns.learned_window(provider, &id);
        Model {
            window: set.window.or(learned).or(window),
            max_output: set.max_output.or(max_output),
            in_use: used.contains(&id),
            id,
        }
    });
    Reply::ok(&Models { models: shown.collect() })
}
