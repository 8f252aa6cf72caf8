//! What the operator configured for this plugin.
//!
//! For tools, skills and providers; a connector finds its configuration in its context.

use crate::types::Fault;
use serde::de::DeserializeOwned;

/// The configuration, with the manifest's defaults filled in; secrets are absent.
///
/// # Errors
/// `bad-config` when it is not of this shape: the type and the manifest disagree.
pub fn get<T: DeserializeOwned>() -> Result<T, Fault> {
    #[cfg(target_family = "wasm")]
    let text = crate::wire::imports::config::get();
    #[cfg(not(target_family = "wasm"))]
    let text = crate::testing::config();
    serde_json::from_str(&text).map_err(|e| Fault::bad_config(format!("the configuration does not fit: {e}")))
}

/// The name of this provider, by which its settings are found in `providers_config`; without a gateway `usual`. One plugin
/// may give several.
pub fn provider_name(usual: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Named {
        provider: Option<String>,
    }
    get::<Named>().ok().and_then(|named| named.provider).unwrap_or_else(|| usual.to_owned())
}

/// The headers that the operator set under a configuration key of type `headers`: their names in small letters, and what stands for
/// their values, which no plugin sees.
pub fn headers(key: &str) -> Vec<(String, String)> {
    let names = secrets().into_iter().filter_map(|name| {
        let header = name.strip_prefix(key)?.strip_prefix('.')?;
        Some((header.to_owned(), format!("{{secret:{name}}}")))
    });
    names.collect()
}

/// Whether the secret of this name is set and granted, so that a request can carry it.
pub fn has_secret(name: &str) -> bool {
    secrets().iter().any(|known| known == name)
}

fn secrets() -> Vec<String> {
    #[cfg(target_family = "wasm")]
    let names = crate::wire::imports::config::secrets();
    #[cfg(not(target_family = "wasm"))]
    let names = crate::testing::secrets();
    names
}
