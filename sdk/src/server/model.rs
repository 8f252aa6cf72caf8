//! Which model is asked, and where another one would be named.

use crate::provider::{Fault, ProviderError, Request};
use crate::refusal::Refusal;
use serde::Deserialize;

/// The model that a request is for, and who has named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelName {
    name: String,
    named_by: NamedBy,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum NamedBy {
    Session,
    /// A setting of the provider's own, of this key.
    Provider(String),
    Configuration,
}

impl ModelName {
    /// The model that the session names; otherwise `configured`, which is `providers_config.<provider>.model`; otherwise the
    /// request's.
    ///
    /// # Errors
    /// None is named, or the request's options are no JSON object.
    pub fn of(request: &Request, configured: Option<String>, provider: &str) -> Result<Self, Fault> {
        #[derive(Deserialize)]
        struct Options {
            model: Option<String>,
        }
        let Options { model } = serde_json::from_str(&request.options)
            .map_err(|error| Fault::bad_input(format!("the request's options make no sense: {error}")))?;
        let configured =
            configured.map(|model| (model, NamedBy::Provider(format!("providers_config.{provider}.model"))));
        let own = model
            .map(|model| (model, NamedBy::Session))
            .or(configured)
            .filter(|(model, _)| !model.is_empty());
        let (name, named_by) = own.unwrap_or_else(|| (request.model.clone(), NamedBy::Configuration));
        if name.is_empty() {
            return Err(Fault::bad_config(
                "no model is named: set provider.model; `prx model list` has those there are",
            ));
        }
        Ok(Self { name, named_by })
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// What to do where the server does not take it.
    pub fn advice(&self) -> String {
        match &self.named_by {
            NamedBy::Session => {
                "this session names it: open one with a model there is, or without; `prx model list` has them"
                    .to_owned()
            }
            NamedBy::Provider(key) => format!("set {key} to one there is"),
            NamedBy::Configuration => "set provider.model to one there is".to_owned(),
        }
    }

    /// Adds what to do to the error for a refusal whose words are about a model, where the session names that: the operator is
    /// told by the setting that is meant.
    pub fn explained(&self, refusal: &Refusal, mut error: ProviderError) -> ProviderError {
        let is_meant = matches!(refusal.status, 400 | 403 | 404 | 422) && refusal.mentions("model");
        let advice = self.advice();
        if is_meant && self.named_by == NamedBy::Session && !error.fault.message.contains(&advice) {
            error.fault.message = format!("{}; {advice}", error.fault.message);
        }
        error
    }
}
