//! Gateways whose model says what a test has written for it: `examples/scripted`.

use serde_json::Value;

use crate::component::Component;
use crate::gateway::Home;

/// A home whose provider plays this script, and whose `prx.toml` says this besides.
pub fn home(script: &Value, config: &str) -> Home {
    let home = Home::new(&format!("{}\n{config}", settings(script)));
    home.place_plugin("scripted", &Component::of("prx-scripted").bytes());
    home
}

/// The tables of a `prx.toml` that make it the provider.
pub fn settings(script: &Value) -> String {
    // A JSON string is a TOML string, too.
    let script = Value::String(script.to_string());
    format!(
        "[provider]\nname = \"scripted\"\nmodel = \"scripted-1\"\n[providers_config.scripted]\nscript = {script}\n\
         [grants.scripted]\nkv = \"64KiB\"\n"
    )
}
