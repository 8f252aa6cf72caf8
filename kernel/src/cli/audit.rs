//! `prx audit`

use serde_json::Value;

use super::client::encoded;
use super::failure::Failure;
use super::output::{Console, table};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only this, such as hook.created, or hook for all about hooks
    #[arg(long)]
    action: Option<String>,
    /// Only what was done with this token
    #[arg(long, value_name = "ID")]
    token: Option<String>,
    /// Only what was done to this id or name
    #[arg(long)]
    target: Option<String>,
    /// Only what came before the entry with this id
    #[arg(long, value_name = "ID")]
    before: Option<String>,
    /// How many to list at most, up to 500
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

pub(super) async fn run(console: &Console, arguments: Arguments) -> Result<(), Failure> {
    let Arguments { action, token, target, before, limit } = arguments;
    let filters = [("action", action), ("token_id", token), ("target", target), ("before", before)];
    let filters =
        filters.into_iter().filter_map(|(name, value)| Some(format!("&{name}={}", encoded(&value?))));
    let filters: String = filters.collect();
    let answer = console.gateway.get(&format!("/api/v1/audit?limit={limit}{filters}")).await?;
    console.show(&answer, |answer| {
        let listed =
            table(&answer["entries"], &["at", "actor", "token_id", "address", "action", "target", "details"]);
        match &answer["next"] {
            Value::String(next) => format!("{listed}\n{} in all; more with --before {next}", answer["total"]),
            _ => format!("{listed}\n{} in all", answer["total"]),
        }
    })
}
