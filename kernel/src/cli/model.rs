//! `prx model`

use serde_json::{Value, json};

use super::client::path;
use super::failure::Failure;
use super::output::{Console, table};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the models of providers, as their servers say now
    List {
        /// Only this provider's; without it those of all that are in use
        provider: Option<String>,
    },
}

pub(super) async fn run(console: &Console, command: Command) -> Result<(), Failure> {
    let Command::List { provider } = command;
    let providers = match provider {
        Some(provider) => vec![provider],
        None => in_use(&console.gateway.get("/api/v1/providers").await?),
    };
    let mut models: Vec<Value> = Vec::new();
    for provider in providers {
        let answer = console.gateway.get(&path(&["providers", &provider, "models"])).await?;
        let rows = answer["models"].as_array().cloned().unwrap_or_default();
        models.extend(rows.into_iter().map(|mut row| {
            row["provider"] = json!(provider);
            row
        }));
    }
    console.show(&json!({ "models": models }), |answer| {
        table(&answer["models"], &["provider", "id", "window", "max_output", "in_use"])
    })
}

fn in_use(answer: &Value) -> Vec<String> {
    let providers = answer["providers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let used = providers.iter().filter(|provider| provider["in_use"] == true);
    used.filter_map(|provider| provider["name"].as_str()).map(str::to_owned).collect()
}
