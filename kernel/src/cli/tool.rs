//! `prx tool`

use serde_json::{Value, json};

use super::client::path;
use super::failure::Failure;
use super::output::{Console, files, printable, table};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List tools
    List,
    /// Call a tool
    Call {
        /// The tool's name
        name: String,
        /// Its arguments, a JSON object
        #[arg(default_value = "{}")]
        arguments: String,
    },
}

pub(super) async fn run(console: &Console, command: Command) -> Result<(), Failure> {
    match command {
        Command::List => {
            let answer = console.gateway.get("/api/v1/tools").await?;
            console.show(&answer, |answer| table(&answer["tools"], &["name", "source", "description"]))
        }
        Command::Call { name, arguments } => {
            let arguments: Value = serde_json::from_str(&arguments)
                .map_err(|error| Failure::new(format!("the arguments are not JSON: {error}")))?;
            let call = path(&["tools", &name, "call"]);
            let result = console.gateway.post(&call, json!({"arguments": arguments})).await?;
            let content = printable(result["content"].as_str().unwrap_or_default(), true);
            if result["is_error"] == true {
                return Err(Failure::new(content));
            }
            console.show(&result, |result| [vec![content], files(result)].concat().join("\n"))
        }
    }
}
